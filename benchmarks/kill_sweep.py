"""Kill -9 at random moments of a sweep, then let it finish: is the comparison the same as without?

    OMP_NUM_THREADS=1 python benchmarks/kill_sweep.py --kills 10

A sweep of PPO and HeRL with two seeds each, on an untrained policy of a few thousand parameters, is run once to the end. Then it is run again, and the
sweep's process or one of its runs is killed, in turn, after a random share of the time that the whole took so far. Compared is `compare.json` without clocks,
folders and commands.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from herl_bench.testing import tiny_checkpoint

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tiny_sweep import lasting, tiny_comparison

RESULTS = Path(__file__).parent / "results" / "kill_sweep.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        words = tiny_comparison(tiny_checkpoint(place / "model"), budget=600)
        started = time.monotonic()
        whole = outcome(words, place / "whole")
        took = time.monotonic() - started
        kills = []
        for number in range(given.kills):
            folder, victim = place / "killed", ("sweep", "run")[number % 2]
            process = start(words, folder)
            after = chance.uniform(0.05, 0.9) * took
            with_children = wait(process, after)
            killed = bool(with_children) and process.poll() is None
            if killed:
                os.kill(process.pid if victim == "sweep" else chance.choice(with_children), signal.SIGKILL)
            process.communicate()
            finished = len(list(folder.glob("runs/*/eval/after/results_*")))
            same = outcome(words, folder) == whole
            shutil.rmtree(folder)
            kills.append(
                {"victim": victim, "after_s": round(after, 1), "killed": killed, "runs_finished_then": finished, "same_table": same}
            )
            print(kills[-1], flush=True)
    result = {"command": " ".join(["OMP_NUM_THREADS=1", "python", *sys.argv]), "uninterrupted_s": round(took, 1), "kills": kills}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "herl_bench", "compare", *words, "-o", str(folder), "--format", "json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen[str], seconds: float) -> list[int]:
    """The runs that are going on after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    try:
        return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def outcome(words: list[str], folder: Path) -> dict[str, Any]:
    process = start(words, folder)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    return lasting(out)


if __name__ == "__main__":
    main()
