"""One script for a machine with one accelerator and ten minutes: what a user of one would want to know, as small JSON.

    HERL_BENCH_MODELS=DIR HERL_BENCH_DATA=DIR python benchmarks/gpu/measure.py --minutes 10
    python benchmarks/gpu/measure.py --parts memory,learning --minutes 5 --wheels DIR

Parts, in their order (`plan.py` says what each measures): determinism, decode, memory, guidance, learning. Each
measurement is a process of its own (`work.py`), and --results gets one JSON file per part, written anew after each
measurement. Killed at any moment, or out of time, the same command goes on with what is missing; a run that was stopped
resumes. What failed is in the file as one line, and is tried again.

It needs PyTorch, transformers, accelerate and peft, and of this repository the files alone: where herl-bench is not
installed, --wheels names a folder with what else it takes (docs/gpu.md lists it), which is unpacked beside the runs.
Without an accelerator it measures the CPU, with --minutes that are too few for much. Left out: several accelerators.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import MODELS, SHARES, TASKS, Measurement, Place, plan_part, plan_tokens
from setting_up import find_model, set_up

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 60.0
"""Seconds that a run gets to end its step and save a checkpoint, before it is killed."""


def main() -> None:
    asked = parse_arguments()
    started = time.monotonic()
    environment = set_up(ROOT, asked.work / "site", asked.wheels)
    machine = ask("machine", {}, environment, 300, asked.work)
    if "failed" in machine:
        raise SystemExit(f"this Python cannot run herl-bench: {machine['failed']}")
    models = {name: find_model(name, asked.models) for name in asked.names}
    if lacking := [name for name, place in models.items() if place is None]:
        raise SystemExit(f"{asked.models} holds no {', '.join(lacking)}, neither a checkpoint folder nor a .gguf file")
    paths = {name: str(path) for name, path in models.items()}
    place = Place(paths, str(asked.data), asked.work, asked.tasks, asked.tiny)
    end = started + asked.minutes * 60
    left = list(asked.parts)
    while left:
        # What a part leaves of its time is the next ones'.
        share = SHARES[left[0]] / sum(SHARES[name] for name in left)
        until = time.monotonic() + share * (end - time.monotonic())
        Part(left.pop(0), asked.results, machine, environment, place).measure(until)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for all parts together; each has its share")
    parser.add_argument("--parts", type=split, default=list(SHARES), help=f"of {','.join(SHARES)}; all without it")
    parser.add_argument("--models", type=Path, default=os.environ.get("HERL_BENCH_MODELS"), help="folder with weights")
    parser.add_argument("--names", type=split, default=list(MODELS), help=f"the models; {','.join(MODELS)} without it")
    parser.add_argument("--data", default=os.environ.get("HERL_BENCH_DATA"), help="folder with the published files")
    parser.add_argument("--tasks", type=split, default=list(TASKS), help="of the guidance gap")
    parser.add_argument("--wheels", type=Path, help="folder with wheels of what is not installed here")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="for runs and answers, which are large")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "gpu", help="for the JSON")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: as little of each as still runs")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(SHARES):
        parser.error(f"--parts: {', '.join(sorted(unknown))}: choose from {', '.join(SHARES)}")
    for name in ("models", "data"):
        if not getattr(asked, name):
            parser.error(f"--{name}: name the folder, or set HERL_BENCH_{name.upper()}")
    asked.work, asked.models, asked.data = (Path(each).resolve() for each in (asked.work, asked.models, asked.data))
    asked.work.mkdir(parents=True, exist_ok=True)
    asked.results.mkdir(parents=True, exist_ok=True)
    return asked


def split(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


@dataclass
class Part:
    """A part's results on this machine, in a file of their own."""

    name: str
    results: Path
    machine: Mapping[str, Any]
    environment: Mapping[str, str]
    place: Place

    def measure(self, until: float) -> None:
        """What is missing, as far as the time goes. until: by `time.monotonic`."""
        measurements = plan_part(self.name, self.place)
        if self.name == "learning":
            measurements = plan_tokens(measurements, self.place, self._read_speed(), until - time.monotonic())
        for number, measurement in enumerate(measurements):
            if self.is_measured(measurement):
                continue
            seconds = (until - time.monotonic()) / (len(measurements) - number if measurement.shares_time else 1)
            if seconds < (1 if self.place.tiny else 15):
                print(f"{self.name}: no time left for {measurement.name}", flush=True)
                continue
            print(f"{self.name}: {measurement.name} …", flush=True)
            began = time.monotonic()
            found = ask(measurement.work, measurement.told, self.environment, seconds, self.place.work)
            self.add(measurement, {"seconds": round(time.monotonic() - began, 1), **found})
            print(f"{self.name}: {measurement.name}: {json.dumps(found)[:400]}", flush=True)

    @property
    def file(self) -> Path:
        return self.results / f"{self.name}.json"

    def read(self) -> dict[str, Any]:
        if not self.file.is_file():
            return {}
        found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        if found["machine"]["device_name"] != self.machine["device_name"]:
            raise SystemExit(f"{self.file} is of {found['machine']['device_name']}: name other --results")
        return found

    def is_measured(self, measurement: Measurement) -> bool:
        found = self.read().get("measured", {}).get(measurement.name)
        return found is not None and not {"failed", "stopped"} & set(found)

    def add(self, measurement: Measurement, found: Mapping[str, Any]) -> None:
        measured = {**self.read().get("measured", {}), measurement.name: found}
        command = shlex.join(["python", "benchmarks/gpu/measure.py", *sys.argv[1:]])
        whole = {"part": self.name, "command": command, "machine": self.machine, "measured": measured}
        beside = self.file.with_suffix(".tmp")
        beside.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, self.file)

    def _read_speed(self) -> Mapping[str, Any]:
        memory = Part("memory", self.results, self.machine, self.environment, self.place)
        measured: Mapping[str, Any] = memory.read().get("measured", {})
        return measured


def ask(work: str, told: Mapping[str, Any], environment: Mapping[str, str], seconds: float, folder: Path) -> Any:
    """What `work.py` finds, as it writes it; `failed` or `stopped` with the reason where it does not come to its end.

    seconds: after so many it is asked to stop, which a training run does with a checkpoint, and later killed.
    """
    answer = folder / f"answer-{os.getpid()}.json"
    answer.unlink(missing_ok=True)
    log = folder / "log.txt"
    with log.open("ab") as file:
        start = file.tell()
        process = subprocess.Popen(
            [sys.executable, str(HERE / "work.py"), work, json.dumps(told), str(answer)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            start_new_session=True,
        )
        stopped = wait(process, seconds)
    if answer.is_file():
        found = json.loads(answer.read_text(encoding="utf-8"))
        answer.unlink()
        return found
    if stopped:
        return {"stopped": f"after {seconds:.0f} s"}
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return {"failed": (lines or [f"exit code {process.returncode}"])[-1][:400]}


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Until it ends, with all that it started; was it stopped?"""
    stopped = False
    try:
        process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        stopped = True
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return stopped


if __name__ == "__main__":
    main()
