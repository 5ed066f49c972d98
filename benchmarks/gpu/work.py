"""One measurement in a process of its own, so that its peak of memory is its own: `python work.py NAME TOLD ANSWER`.

NAME is a function here, TOLD its arguments as JSON, ANSWER the file that gets what it found as JSON; runs go into the
current folder. `measure.py` starts it.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

GUIDANCE = Path(__file__).resolve().parents[1] / "guidance" / "search.py"
PACKAGES = ("herl-bench", "torch", "transformers", "accelerate", "peft", "trl")


def machine() -> dict[str, Any]:
    import torch

    from herl_bench.policy.placement import choose_placement

    placement = choose_placement()
    is_cuda = placement.kind == "cuda"
    properties = torch.cuda.get_device_properties(placement.device) if is_cuda else None
    return {
        "device": placement.device,
        "device_name": properties.name if properties else platform.processor() or platform.machine(),
        "device_gb": round(properties.total_memory / 1e9, 1) if properties else None,
        "auto_dtype": placement.dtype,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sandbox": choose_sandbox(),
        "versions": {name: found for name in PACKAGES if (found := find_version(name))},
    }


def decode(model: str, dtype: str, rows: int, tokens: int) -> dict[str, Any]:
    """Tokens per second with so many rows at once: prompts of 64 tokens, no end but the last token."""
    import torch

    from herl_bench.policy.generation import generate
    from herl_bench.policy.load import load_policy
    from herl_bench.policy.placement import choose_placement

    policy = load_policy(model, placement=choose_placement(dtype=dtype))
    highest = min(len(policy.tokenizer), 1000)
    draw = torch.Generator().manual_seed(0)
    prompts = torch.randint(10, highest, (rows, 64), generator=draw).tolist()
    never = [policy.model.get_output_embeddings().weight.shape[0]]  # no token has this id
    policy.model.generation_config.eos_token_id = never
    policy.tokenizer.eos_token = policy.tokenizer.pad_token

    def write(count: int) -> float:
        synchronise()
        began = time.perf_counter()
        written = generate(
            policy,
            prompts,
            temperature=1.0,
            max_new_tokens=count,
            generator=torch.Generator(policy.device).manual_seed(0),
        )
        synchronise()
        seconds = time.perf_counter() - began
        return sum(len(each.ids) for each in written) / seconds

    write(min(tokens, 8))
    speed = write(tokens)
    return {"tokens_per_s": round(speed, 1), "ms_per_step": round(1000 * rows / speed, 2), **measure_peak(policy.model)}


def train(label: str, **settings: Any) -> dict[str, Any]:
    """A run, resumed where it was begun: speed, memory per parameter, and both evaluations. One that is asked to stop
    says what there is."""
    import herl_bench as hb
    from herl_bench.experiment.train import Interrupted

    name = "-".join([label, Path(settings["model"]).name, settings.get("dtype", "auto")])
    parent = Path.cwd() / name / ("lora" if settings.get("lora_rank") else "full")
    folder = parent / f"{settings['task']}-{settings['method']}-s0"
    try:
        if not (folder / "config.yaml").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            hb.train(**settings, output_dir=parent, sandbox=choose_sandbox(), progress=False)
        else:
            hb.train(resume=folder, progress=False)
    except Interrupted:
        return {"stopped": "it goes on where it was", **describe_run(hb.load_run(folder))}
    found = describe_run(hb.load_run(folder))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # gigabytes
    return found


def describe_run(run: Any) -> dict[str, Any]:
    rows = list(run.metrics)
    if not rows:
        return {"steps": 0}
    warm = rows[1:] or rows  # the first step also warms up the critic, and the device
    seconds = {phase: sum(row["seconds"].get(phase, 0.0) for row in warm) for phase in ("sample", "hindsight", "learn")}
    generated = rows[-1]["tokens"] - (rows[0]["tokens"] if len(rows) > 1 else 0)
    trained = rows[-1]["trained_tokens"] - (rows[0]["trained_tokens"] if len(rows) > 1 else 0)
    whole = sum(sum(row["seconds"].values()) for row in warm)
    evaluated = {label: read_metric(run.files.evaluation(label)) for label in ("before", "after")}
    return {
        "steps": len(rows),
        "tokens": rows[-1]["tokens"],
        "tokens_per_s": round(generated / whole, 1),
        "trained_tokens_per_s": round(trained / seconds["learn"], 1) if seconds["learn"] else None,
        "step_s": {phase: round(value / len(warm), 3) for phase, value in seconds.items()},
        "learning_rate": rows[-1].get("learning_rate"),
        "revisions_right": rows[-1].get("revision_solved_rate"),
        **evaluated,
        **measure_peak(None, count_parameters(run)),
    }


def determinism(settings: Mapping[str, Any], work: str, dtype: str, deterministic: bool) -> dict[str, Any]:
    """Two runs of one seed: are their bytes the same, and if not, how far apart are the weights, as a share of how far
    training moved them?"""
    import torch

    import herl_bench as hb

    folder = Path(work) / f"{dtype}-{deterministic}"
    shutil.rmtree(folder, ignore_errors=True)
    told = {**settings, "dtype": dtype, "deterministic": deterministic, "sandbox": choose_sandbox(), "progress": False}
    began = time.perf_counter()
    one, other = (hb.train(**told, output_dir=folder / name) for name in ("one", "other"))
    seconds = time.perf_counter() - began
    a, b = (read_weights(run.directory / "final") for run in (one, other))
    start = read_start(settings["model"])
    apart = sum(float((a[name] - b[name]).square().sum()) for name in a) ** 0.5
    moved = sum(float((a[name] - start[name]).square().sum()) for name in a if name in start) ** 0.5
    texts = [[row["response"] for row in run.rollouts] for run in (one, other)]
    steps = [row["step"] for row in one.rollouts]
    differ = [step for step, x, y in zip(steps, *texts, strict=False) if x != y]
    shutil.rmtree(folder)
    return {
        "same_bytes": all(torch.equal(a[name], b[name]) for name in a) and texts[0] == texts[1],
        "first_step_with_other_responses": min(differ, default=None),
        "weights_apart": apart,
        "weights_moved": moved,
        "apart_over_moved": round(apart / moved, 6) if moved else None,
        "two_runs_s": round(seconds, 1),
    }


def guidance(
    model: str, task: str, data: str, work: str, arms: str, problems: int, failures: int, max_new_tokens: int = 224
) -> dict[str, Any]:
    """Draft, revise the failures in each arm, sum up: `benchmarks/guidance/search.py`, which goes on where it ended."""
    store, summary = Path(f"{work}.jsonl"), Path(f"{work}.json")
    common = [sys.executable, str(GUIDANCE), "--model", model, "--task", task, "--data", data, "--store", str(store)]
    common += ["--max_new_tokens", str(max_new_tokens)]
    # The half of the problems on which nothing was chosen.
    drafting = ["--half", "confirm", "--problems", str(problems), "--draft", "1"]
    revising = ["--half", "confirm", "--problems", str(problems), "--arms", arms, "--failures", str(failures)]
    for words in (drafting, revising, ["--summary", str(summary)]):
        subprocess.run([*common, *words], check=True)
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return dict(found["halves"]["confirm"])


# -------------------------------------------------------------------------------------------------------------- helpers
def choose_sandbox() -> str:
    return "default" if shutil.which("bwrap") else "landlock"


def find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def synchronise() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_peak(model: Any, parameters: int | None = None) -> dict[str, Any]:
    """The peak of memory of this process: what tensors took on the accelerator, or all that was resident."""
    import torch

    count = parameters or sum(p.numel() for p in model.parameters())
    if torch.cuda.is_available():
        peak, kind = torch.cuda.max_memory_allocated(), "allocated on the device"
    else:
        peak, kind = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "resident, libraries included"
    each = round(peak / count, 1)
    return {"parameters": count, "peak_gb": round(peak / 1e9, 3), "bytes_per_parameter": each, "peak_of": kind}


def count_parameters(run: Any) -> int:
    from herl_bench.policy.size import read_size

    return read_size(run.config["model"]).parameters


def read_metric(folder: Path) -> dict[str, Any]:
    """The task's first metric, with its standard error; nothing where it was not evaluated."""
    file = next(iter(folder.glob("results_*.json")), None)
    if file is None:
        return {}
    results = json.loads(file.read_text(encoding="utf-8"))
    (task,) = results["results"].values()
    name = next(key for key in task if "," in key and "stderr" not in key)
    return {"metric": name, "value": task[name], "stderr": task.get(name.replace(",", "_stderr,", 1))}


def read_weights(final: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    files: Sequence[Path] = sorted(final.glob("model*.safetensors"))
    return {name: tensor.float() for file in files for name, tensor in load_file(file).items()}


def read_start(model: str) -> dict[str, Any]:
    from herl_bench.policy.load import load_policy

    return {name: tensor.float() for name, tensor in load_policy(model).model.state_dict().items()}


if __name__ == "__main__":
    what, told, answer = sys.argv[1:]
    found = globals()[what](**json.loads(told))
    Path(answer).write_text(json.dumps(found), encoding="utf-8")
