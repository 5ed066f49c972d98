"""How long until a small evaluation is done: `herl-bench eval` on four items against `lm_eval run` on the same four,
and the two `ls` commands.

    HERL_BENCH_DATA=DIR python benchmarks/startup.py --pairs 7

Both evaluate one checkpoint of a few thousand parameters on the first four published GSM8K test items, with the same
prompts, stop strings and length; both write results and samples. Each command is a process of its own, the two take
turns, and the ratio is of wall times within a pair. lm-eval reads the items through its own `gsm8k` task file with
local data in place of the hub's. Left out: models whose loading takes time, where both wait for the same thing.
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
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from herl_bench.testing import tiny_checkpoint

RESULTS = Path(__file__).parent / "results" / "startup.json"
ITEMS, TOKENS = 4, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument(
        "--only", choices=["eval", "ls"], help="measure this alone, and keep what the results say of the other"
    )
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if args.only and RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.only != "ls":
            checkpoint = tiny_checkpoint(folder / "model")
            found["eval"] = compare(build_ours(checkpoint, folder), build_theirs(checkpoint, folder), args.pairs)
            check_same_prompts(folder)
        if args.only != "eval":
            found["ls"] = compare(["herl-bench", "ls"], ["lm_eval", "ls", "tasks"], args.pairs)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(RESULTS.read_text())


def build_ours(checkpoint: Path, folder: Path) -> list[str]:
    samples = json.dumps({"gsm8k": list(range(ITEMS))})
    return [
        "herl-bench",
        "eval",
        "--tasks",
        "gsm8k",
        "--model",
        str(checkpoint),
        "--data",
        os.environ["HERL_BENCH_DATA"],
        "--samples",
        samples,
        "--max_new_tokens",
        str(TOKENS),
        "--output_path",
        str(folder / "ours"),
        "--log_samples",
    ]


def build_theirs(checkpoint: Path, folder: Path) -> list[str]:
    import importlib.util

    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    data = {split: f"{os.environ['HERL_BENCH_DATA']}/gsm8k/{split}.jsonl" for split in ("train", "test")}
    task = {
        "include": f"{spec.submodule_search_locations[0]}/tasks/gsm8k/gsm8k.yaml",
        "task": "gsm8k_local",
        "tag": None,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": data, "cache_dir": str(folder / "cache")},
    }
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "gsm8k_local.yaml").write_text(json.dumps(task))
    return [
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--model_args",
        f"pretrained={checkpoint}",
        "--device",
        "cpu",
        "--tasks",
        "gsm8k_local",
        "--include_path",
        str(tasks),
        "--num_fewshot",
        "0",
        "--limit",
        str(ITEMS),
        "--batch_size",
        str(ITEMS),
        "--gen_kwargs",
        f"max_gen_toks={TOKENS}",
        "--output_path",
        str(folder / "theirs"),
        "--log_samples",
    ]


def compare(one: list[str], other: list[str], pairs: int) -> dict[str, object]:
    """Seconds of wall time of each, pair by pair, after one of each that is not counted (files come into the cache,
    data sets are prepared)."""
    seconds: list[tuple[float, float]] = []
    for number in range(pairs + 1):
        turns = (one, other) if number % 2 else (other, one)
        taken = {turn[0]: time_command(turn) for turn in turns}
        seconds += [(taken[one[0]], taken[other[0]])] if number else []
    ratios = [theirs / ours for ours, theirs in seconds]
    return {
        "command": shlex.join(["python", "benchmarks/startup.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": {p: version(p) for p in ("herl-bench", "lm_eval", "torch", "transformers")},
        "load_average": round(os.getloadavg()[0], 1),
        "herl_bench_s": [round(a, 2) for a, _ in seconds],
        "lm_eval_s": [round(b, 2) for _, b in seconds],
        "lm_eval_over_herl_bench_median": round(median(ratios), 2),
        "lm_eval_over_herl_bench_range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def time_command(command: list[str]) -> float:
    program = Path(sys.executable).with_name(command[0])
    started = time.perf_counter()
    done = subprocess.run(
        [str(program), *command[1:]], capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def check_same_prompts(folder: Path) -> None:
    """Both read the same prompts and, being greedy, wrote the same."""
    rows = []
    for place in ("ours", "theirs"):
        path = sorted((folder / place).rglob("samples_*.jsonl"))[-1]
        samples = [json.loads(line) for line in path.read_text().splitlines()]
        rows.append(sorted({(s["arguments"]["gen_args_0"]["arg_0"], s["resps"][0][0]) for s in samples}))
    assert rows[0] == rows[1], "the two did not do the same work"


if __name__ == "__main__":
    main()
