"""Kill -9 at random moments of each command that writes, then let it finish: are the bytes those of one that was never
killed?

    OMP_NUM_THREADS=1 python benchmarks/kills.py --kills 20

`run`, `eval`, `compare` and `score` take turns, with an untrained policy of a few thousand parameters. Each is run once
to its end. Then it is run again, killed after a random share of the time that the whole took (a comparison: itself or
one of its runs, in turn), and finished: `run` by `--resume` where there is something to resume, the others by the same
words. Compared is every file that the command leaves, without clocks, and without what names folders or the command; of
a checkpoint, the state in it. The commands are forked from one process that has the libraries loaded, so that kills
fall on the work; a comparison starts its runs as ever.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 (loaded once, for all that is forked)
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

import herl_bench.training.herl  # noqa: F401
from herl_bench.cli import main
from herl_bench.testing import tiny_checkpoint

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from helpers.tiny_sweep import SETTINGS, lasting, tiny_comparison

FORK = multiprocessing.get_context("fork")
RESULTS = Path(__file__).parent / "results" / "kills.json"
SMALL = [word for setting in SETTINGS for word in ("--set", setting)]
CLOCKS = {"wall_s", "tokens_per_s", "seconds", "date", "total_evaluation_time_seconds", "command"}
TURNS = ("run", "eval", "score", "run", "eval", "score", "run", "eval", "run", "compare")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?")


def measure() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default="1200", help="generated tokens of the run")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        commands = build_commands(place, given.budget)
        whole: dict[str, Any] = {}
        took: dict[str, float] = {}
        kills = []
        for number in range(given.kills):
            command = TURNS[number % len(TURNS)]
            if command not in whole:
                started = time.monotonic()
                whole[command] = run_to_end(commands[command], place / "whole" / command)
                took[command] = time.monotonic() - started
            folder = place / "killed" / command
            after = chance.uniform(0.05, 0.95) * took[command]
            process = start(commands[command], folder)
            assert process.pid is not None
            victims = wait(process, after)
            victim = chance.choice(victims) if command == "compare" and victims and number % 2 else process.pid
            killed = process.is_alive()
            if killed:
                with suppress(ProcessLookupError):  # a comparison's run that ended meanwhile
                    os.kill(victim, signal.SIGKILL)
            process.join()
            left = (
                sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
            )
            same = run_to_end(commands[command], folder) == whole[command]
            shutil.rmtree(folder)
            kills.append(
                {
                    "command": command,
                    "after_s": round(after, 1),
                    "killed": killed,
                    "files_left": len(left),
                    "same_bytes": same,
                }
            )
            print(kills[-1], flush=True)
            result = {
                "command": " ".join(["OMP_NUM_THREADS=1", "python", *sys.argv]),
                "uninterrupted_s": {name: round(seconds, 1) for name, seconds in took.items()},
                "kills": kills,
            }
            RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not all(kill["same_bytes"] for kill in kills):
        raise SystemExit("other bytes after a kill")


def build_commands(place: Path, budget: str) -> dict[str, list[str]]:
    """What is killed, without where it writes to: `{}` stands for that."""
    maker = FORK.Process(target=tiny_checkpoint, args=(place / "model",))
    maker.start()
    maker.join()
    model = place / "model"
    world = ["--model", str(model), "--data", "synthetic"]
    run = ["run", "--task", "gsm8k", "--method", "herl", *world, "--budget", budget, *SMALL, "--output_dir", "{}"]
    first = place / "first"
    run_to_end(run, first)
    return {
        "run": run,
        "eval": [
            "eval",
            "--tasks",
            "gsm8k,bbh",
            *world,
            "--limit",
            "40",
            "--max_new_tokens",
            "8",
            "--n",
            "2",
            "--temperature",
            "1",
            "--log_samples",
            "--output_path",
            "{}",
        ],
        "compare": ["compare", *tiny_comparison(model), "-o", "{}"],
        "score": [
            "score",
            str(first / "gsm8k-herl-s0" / "rollouts.jsonl"),
            "--task",
            "gsm8k",
            "--output_path",
            "{}/scored.jsonl",
        ],
    }


def start(words: list[str], folder: Path) -> BaseProcess:
    """The command; of a run that was begun, what goes on with it."""
    begun = next(folder.glob("*/config.yaml"), None)
    told = (
        ["run", "--resume", str(begun.parent)]
        if words[0] == "run" and begun
        else [word.replace("{}", str(folder)) for word in words]
    )
    if words[0] == "run" and not begun and folder.exists():
        shutil.rmtree(folder)  # killed before it had a configuration to go on from
    process = FORK.Process(target=run_command, args=(told, folder.with_name(f"{folder.name}.log")))
    process.start()
    return process


def run_command(words: list[str], log: Path) -> None:
    """In a process of its own: what it prints goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    main(words)


def wait(process: BaseProcess, seconds: float) -> list[int]:
    """The process's own processes after so many seconds."""
    process.join(seconds)
    try:
        return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def run_to_end(words: list[str], folder: Path) -> dict[str, Any]:
    """Run the command to its end; gives what it leaves."""
    process = start(words, folder)
    process.join()
    if process.exitcode:
        raise SystemExit(folder.with_name(f"{folder.name}.log").read_text())
    if words[0] == "compare":  # its runs are looked at through it
        return lasting((folder / "compare.json").read_text())
    return {
        STAMP.sub("STAMP", str(p.relative_to(folder))): read_content(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix != ".html"
    }


def read_content(path: Path) -> Any:
    """What of a file does not hang on the clock, which the lengths of a checkpoint's logs do."""
    if path.name == "state.pt":
        return hash_value(torch.load(path, weights_only=True)["state"])
    if path.name == "sums.json" and "checkpoints" in path.parts:
        return sorted(json.loads(path.read_text()))
    if path.suffix == ".json":
        return {k: v for k, v in json.loads(path.read_text()).items() if k not in CLOCKS}
    if path.name == "metrics.jsonl":
        return [
            {k: v for k, v in json.loads(line).items() if k not in CLOCKS} for line in path.read_text().splitlines()
        ]
    return path.read_bytes()


def hash_value(value: Any) -> str:
    """sha256 over a checkpoint's state, to its last bit."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(
            str(value.dtype).encode() + value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()
    if isinstance(value, dict):
        return hashlib.sha256(repr([(key, hash_value(v)) for key, v in value.items()]).encode()).hexdigest()
    if isinstance(value, list | tuple):
        return hashlib.sha256(repr([hash_value(v) for v in value]).encode()).hexdigest()
    return repr(value)


if __name__ == "__main__":
    measure()
