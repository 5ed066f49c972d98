"""Peak resident memory of training a real model, all its weights or an adapter, beside TRL's GRPOTrainer on the same
model, the same problems and the same micro-batch, as bytes per parameter.

    OMP_NUM_THREADS=1 HERL_BENCH_MODELS=DIR HERL_BENCH_DATA=DIR python benchmarks/memory.py

Ours is `herl-bench run --task humaneval --method herl`, as it is and with `--set lora_rank=16`; TRL's trainer is called
as its documentation does, with a reference policy (beta) as ours has one, in float32 on the CPU without gradient
checkpointing, and generates by itself. Each is a process of its own. Its peak is the kernel's (ru_maxrss); what such a
process holds with its libraries imported and nothing loaded is measured too, and taken off. The page is rewritten by
`python benchmarks/gpu/page.py`. Left out: what an accelerator holds (`gpu/measure.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "memory.json"
sys.path.insert(0, str(HERE / "gpu"))
from setting_up import find_model  # noqa: E402

OURS_IMPORTS = "import herl_bench.training.herl, transformers.models.llama.modeling_llama, peft, scipy.stats"
TRLS_IMPORTS = "import peft, trl.trainer.grpo_trainer, transformers.models.llama.modeling_llama"
RANK, BETA, LEARNING_RATE = 16, 0.02, 1e-5
PROMPT_TOKENS = 128
"""What most of MBPP's problems take with the instruction; TRL pads each batch to its own longest."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct", help="its name in HERL_BENCH_MODELS")
    parser.add_argument("--budget", default="5k", help="generated tokens of each of our runs")
    parser.add_argument("--rollouts", type=int, default=32, help="of a step")
    parser.add_argument("--max_new_tokens", type=int, default=128)
    parser.add_argument("--rows", type=int, default=4, help="responses of one micro-batch")
    parser.add_argument("--anew", action="store_true", help="measure what was measured, too")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once; needs the memory of all")
    parser.add_argument("--trl", help=argparse.SUPPRESS)  # this process is TRL's, and told this
    asked = parser.parse_args()
    if asked.trl:
        train_with_trl(**json.loads(asked.trl))
        return
    model, data = find_model(asked.model, Path(os.environ["HERL_BENCH_MODELS"])), os.environ["HERL_BENCH_DATA"]
    if model is None:
        raise SystemExit(f"HERL_BENCH_MODELS holds no {asked.model}")
    told = {"model": str(model), "data": data, "tokens": asked.max_new_tokens, "rows": asked.rows}
    width = PROMPT_TOKENS + asked.max_new_tokens
    with tempfile.TemporaryDirectory() as folder:
        ours = write_ours(asked, model, data, folder, asked.rows * width)
        commands = {
            f"herl-bench, HeRL, LoRA {RANK}": [*ours, "--set", f"lora_rank={RANK}"],
            f"TRL, GRPO, LoRA {RANK}": write_trls({**told, "rank": RANK}),
            "TRL, GRPO, all weights": write_trls({**told, "rank": 0}),
            "herl-bench, HeRL, all weights": ours,
        }
        measure(commands, asked, count_parameters(model), width)
    print(RESULTS.read_text(encoding="utf-8"))


def measure(commands: dict[str, list[str]], asked: argparse.Namespace, parameters: int, width: int) -> None:
    """What the file does not hold yet, so many at once; it is written anew after each."""
    head = {
        "command": shlex.join(["OMP_NUM_THREADS=1", "python", "benchmarks/memory.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("herl-bench", "torch", "transformers", "trl", "peft")},
        "model": asked.model,
        "parameters": parameters,
        "micro_batch": f"{asked.rows} rows of {width} tokens",
    }
    there = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    alike = all(there.get(name) == head[name] for name in ("versions", "model", "micro_batch"))
    measured = there["measured"] if alike and not asked.anew else {}
    libraries = {"herl-bench": [sys.executable, "-c", OURS_IMPORTS], "TRL": [sys.executable, "-c", TRLS_IMPORTS]}
    imported = {name: run_to_peak(command) for name, command in libraries.items()}

    def add(name: str) -> None:
        measured[name] = describe(run_to_peak(commands[name]), imported[name.partition(",")[0]], parameters)
        whole = {**head, "measured": {each: measured[each] for each in commands if each in measured}}
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")

    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(add, [name for name in commands if name not in measured]))


def describe(peak: int, libraries: int, parameters: int) -> dict[str, Any]:
    each = round((peak - libraries) / parameters, 1)
    return {"peak_mb": round(peak / 1e6), "libraries_mb": round(libraries / 1e6), "bytes_per_parameter": each}


def run_to_peak(command: list[str]) -> int:
    """Bytes resident at the most. Raises `SystemExit` where it fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(f"{shlex.join(command)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    print(round(usage.ru_maxrss / 1024), "MiB:", shlex.join(command), flush=True)
    return usage.ru_maxrss * 1024


def write_ours(asked: argparse.Namespace, model: Path, data: str, folder: str, tokens: int) -> list[str]:
    settings = {
        "device": "cpu",
        "dtype": "float32",
        "eval_items": 2,
        "rollouts_per_step": asked.rollouts,
        "minibatch_size": asked.rollouts,
        "max_new_tokens": asked.max_new_tokens,
        "microbatch_tokens": tokens,
    }
    words = ["run", "--task", "humaneval", "--method", "herl", "--model", str(model), "--data", data]
    words += ["--budget", asked.budget, "--output_dir", folder]
    words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "herl_bench", *words]


def write_trls(told: dict[str, Any]) -> list[str]:
    return [sys.executable, __file__, "--trl", json.dumps(told)]


def read_prompts(model: str, data: str, rows: int) -> list[list[dict[str, str]]]:
    """The first problems of the run's training, as conversations with its instruction."""
    from herl_bench.data.sources import open_data
    from herl_bench.plugins import load_host

    task = load_host().get("task", "humaneval")
    examples = open_data(task, data, embedded=False, eval_items=2, seed=0).train(0)
    system = {"role": "system", "content": task.instruction}
    return [[system, {"role": "user", "content": next(examples).prompt}] for _ in range(rows)]


def count_parameters(model: Path) -> int:
    from herl_bench.policy.size import read_size

    return read_size(model).parameters


def train_with_trl(model: str, data: str, tokens: int, rows: int, rank: int) -> None:
    """Two optimiser steps, each on one micro-batch of one problem's responses."""
    import torch
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, name = (str(Path(model).parent), Path(model).name) if model.endswith(".gguf") else (model, None)
    policy: Any = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
    policy.is_quantized = False  # a GGUF file's weights are plain numbers by now
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name, padding_side="left")
    with tempfile.TemporaryDirectory() as folder:
        trl.GRPOTrainer(
            model=policy,
            processing_class=tokenizer,
            reward_funcs=lambda completions, **_: [float(len(str(each)) % 7) for each in completions],
            train_dataset=Dataset.from_dict({"prompt": read_prompts(model, data, 2)}),
            peft_config=LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear") if rank else None,
            args=trl.GRPOConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                per_device_train_batch_size=rows,
                gradient_accumulation_steps=1,
                num_generations=rows,
                max_completion_length=tokens,
                max_steps=2,
                beta=BETA,
                learning_rate=LEARNING_RATE,
                save_strategy="no",
                report_to=[],
            ),
        ).train()


if __name__ == "__main__":
    main()
