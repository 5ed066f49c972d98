"""Scoring speed: 20,000 stored GSM8K responses, by `herl-bench score` and by lm-eval's own `gsm8k` task, in turns, in
the same run.

    HERL_BENCH_DATA=DIR python benchmarks/score.py --output benchmarks/results/score.json

Both start from the same JSONL file and end with means and standard errors; each measurement is a process of its own
that does its imports before the clock starts. lm-eval's side is what its evaluator does once a model has answered
(filters, `process_results` of every document and filter, aggregation), without building prompts, hashes and logs, so
the ratio is a lower bound of one against `simple_evaluate`. It computes two metrics per response; ours computes three,
and four criteria with evidence. lm-eval's clock leaves out reading the items, ours includes it.

The responses: gold answers, 30 % of them with another final number, 20 % that say "The answer is N." only. Both sides
must agree on the two metrics that they share. Peak memory is the largest process's; ours is also measured on other
numbers of responses, to see that it stays.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any

PAIRS = 5
RESPONSES = 20_000
OTHERS = (2_000, 100_000)


def read_items(data: Path) -> list[tuple[str, dict[str, str]]]:
    return [
        (f"gsm8k/{split}/{i}", json.loads(line))
        for split in ("train", "test")
        for i, line in enumerate((data / "gsm8k" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines())
    ]


def write_responses(path: Path, data: Path, count: int) -> None:
    rng, known = Random(0), read_items(data)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            name, doc = known[i % len(known)]
            kind, number = rng.random(), rng.randrange(1000)
            worked = doc["answer"].rpartition("#### ")[0]
            text = (
                f"{worked}#### {number}" if kind < 0.3 else f"The answer is {number}." if kind < 0.5 else doc["answer"]
            )
            file.write(json.dumps({"id": name, "response": text}, ensure_ascii=False) + "\n")


# -------------------------------------------------------------------------------------------------------- the two sides
def read_clocks() -> complex:
    """Wall-clock seconds, and as the imaginary part the processor's, of this process and of those that it waited
    for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return complex(time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used))


def time_ours(path: Path, data: Path, jobs: int) -> dict[str, Any]:
    from herl_bench.cli import cli
    from herl_bench.plugins import load_host

    host, out = load_host(), io.StringIO()
    arguments = [
        "score",
        str(path),
        "--task",
        "gsm8k",
        "--data",
        str(data),
        "--allow_duplicates",
        "--format",
        "json",
        "--jobs",
        str(jobs),
    ]
    before = read_clocks()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        cli.main(arguments, standalone_mode=False, obj=host)
    spent = read_clocks() - before
    metrics = json.loads(out.getvalue())["metrics"]
    return {"seconds": spent.real, "cpu": spent.imag, "scores": {key: metrics[key]["value"] for key in SHARED}}


SHARED = ("exact_match,strict-match", "exact_match,flexible-extract")


def time_theirs(path: Path, data: Path) -> dict[str, Any]:
    import lm_eval
    import yaml
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import stderr_for_metric
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "include": f"{os.path.dirname(lm_eval.__file__)}/tasks/gsm8k/gsm8k.yaml",
            "task": "stock",
            "tag": None,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {s: str(data / "gsm8k" / f"{s}.jsonl") for s in ("train", "test")},
                "cache_dir": folder,
            },
        }
        (Path(folder) / "stock.yaml").write_text(yaml.safe_dump(spec))
        manager = TaskManager(include_path=[folder])
        loaded = manager.load(["stock"])["tasks"]["stock"]
    docs = dict(read_items(data))
    before = read_clocks()
    instances: list[Any] = []
    with path.open(encoding="utf-8") as file:
        for i, line in enumerate(file):
            row = json.loads(line)
            one = Instance(
                "generate_until", docs[row["id"]], ("", {}), 0, metadata=("stock", i, 1), resps=[row["response"]]
            )
            instances.append(one)
    loaded._instances = instances
    loaded.apply_filters()
    values: dict[str, list[float]] = {}
    for name in instances[0].filtered_resps:
        for one in instances:
            for metric, value in loaded.process_results(one.doc, [one.filtered_resps[name]]).items():
                values.setdefault(f"{metric},{name}", []).append(value)
    for key, found in values.items():
        mean = loaded.aggregation()[key.split(",")[0]]
        mean(found)
        stderr_for_metric(mean, bootstrap_iters=100)(found)
    spent = read_clocks() - before
    return {
        "seconds": spent.real,
        "cpu": spent.imag,
        "scores": {key: average_by_item(instances, found) for key, found in values.items()},
    }


def average_by_item(instances: list[Any], values: list[float]) -> float:
    """The mean over items, as ours counts several responses to one; lm-eval's own mean is over rows."""
    items: dict[str, list[float]] = {}
    for one, value in zip(instances, values, strict=True):
        items.setdefault(one.doc["question"], []).append(float(value))
    return fmean(fmean(found) for found in items.values())


def measure_side(side: str, path: Path, data: Path, jobs: int) -> dict[str, Any]:
    """One process of its own."""
    command = [sys.executable, __file__, "--side", side, "--file", str(path), "--data", str(data), "--jobs", str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default=os.environ.get("HERL_BENCH_DATA"), help="folder with gsm8k/{train,test}.jsonl"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", help="also write the numbers to this file")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.data:
        raise SystemExit("set HERL_BENCH_DATA or pass --data")
    data = Path(asked.data)
    if asked.side:
        file = Path(asked.file)
        found = time_ours(file, data, asked.jobs) if asked.side == "ours" else time_theirs(file, data)
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps({**found, "peak_mb": round(max(peaks))}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses.jsonl"
        write_responses(path, data, RESPONSES)
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
        for i in range(PAIRS):
            for side in ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours"):
                runs[side].append(measure_side(side, path, data, asked.jobs))
                print(f"{side}: {runs[side][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
        numbers = {side: runs[side][0]["scores"] for side in runs}
        if any(abs(numbers["ours"][key] - numbers["theirs"][key]) > 1e-9 for key in SHARED):
            raise SystemExit(f"the two sides disagree: {numbers}")
        other = {}
        for count in OTHERS:
            write_responses(path, data, count)
            other[count] = measure_side("ours", path, data, asked.jobs)["peak_mb"]
    ratios = [
        theirs_["seconds"] / ours_["seconds"] for ours_, theirs_ in zip(runs["ours"], runs["theirs"], strict=True)
    ]
    result = {
        "command": (
            "HERL_BENCH_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/score.py --output benchmarks/results/score.json"
        ),
        "responses": RESPONSES,
        "jobs": asked.jobs,
        "processors": len(os.sched_getaffinity(0)),
        "lm_eval_seconds_over_ours": {"median": round(median(ratios), 2), "pairs": [round(r, 2) for r in ratios]},
        "seconds": {side: [round(run["seconds"], 2) for run in found] for side, found in runs.items()},
        "cpu_seconds": {side: round(median(run["cpu"] for run in found), 2) for side, found in runs.items()},
        "peak_mb": {side: max(run["peak_mb"] for run in found) for side, found in runs.items()},
        "our_peak_mb_by_responses": {
            **{str(k): v for k, v in other.items()},
            str(RESPONSES): max(r["peak_mb"] for r in runs["ours"]),
        },
        "scores_of_both": numbers["ours"],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if asked.output:
        Path(asked.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
