"""The cells of a sweep: runs to be made, each known by its task, arm and seed, and made in a folder of its own.

A cell's folder gets its `config.yaml` first, whole; then `herl-bench run --resume FOLDER` does the work, be it from
nothing or from the last checkpoint (`pools.py` says where). So a sweep that was killed at any moment goes on with the
same command: finished cells are kept, begun ones resumed, and each ends with the bytes of a run that was never stopped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herl_bench.errors import DataError, UsageError
from herl_bench.reading import parse_json, parse_yaml, read_text
from herl_bench.runs import RunFiles
from herl_bench.saving import saving, write_whole
from herl_bench.settings import with_defaults

TAIL = 16_384
"""Bytes at the end of a log that surely hold its last row."""


@dataclass(frozen=True)
class Cell:
    """One run to make. config: the text of its `config.yaml`. directory: where it lies. trust_remote_code: may it run
    the model's own Python code? A file cannot allow that."""

    task: str
    arm: str
    seed: int
    budget: int
    config: str
    directory: Path
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        return f"{self.task} {self.arm} seed {self.seed}"

    @property
    def log(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.log")

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.directory)


def prepare_cells(cells: Sequence[Cell]) -> None:
    """Write every cell's configuration. Raises `UsageError` where a folder holds another run, naming the difference."""
    for cell in cells:
        place = cell.files.config
        if place.is_file():
            if difference := find_difference(read_text(place, "the configuration"), cell.config):
                advice = "choose another --output_dir, or ask for the same"
                raise UsageError(f"{cell.directory} was made with {difference}: {advice}")
        else:
            with saving(place):
                cell.directory.mkdir(parents=True, exist_ok=True)
            write_whole(place, cell.config)


SETTLED = ("dtype", "revise_form")
"""Settings of which a run writes what `auto` came to for its model."""


def find_difference(there: str, wanted: str) -> str:
    """The first setting in which two configurations differ, in words; empty where they are the same."""
    old, new = (_flatten(parse_yaml(text, "config.yaml") or {}) for text in (there, wanted))
    for name in dict.fromkeys([*new, *old]):
        settled = name in SETTLED and new.get(name) == "auto"
        if old.get(name) != new.get(name) and not settled:
            had = f"{name}={old[name]}" if name in old else f"no record of {name}"
            asked = f"asks for {new[name]}" if name in new else "has no such setting"
            return f"{had}, and this {asked}"
    return ""


def _flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in with_defaults(values).items() if k != "set"}, **(values.get("set") or {})}


def count_tokens(cell: Cell) -> int:
    """Of the run so far, out of the last whole row of its log."""
    try:
        with open(cell.files.metrics, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().split(b"\n")
        return int(parse_json(lines[-2], "the log")["tokens"]) if len(lines) > 1 else 0
    except (OSError, DataError, ValueError, KeyError, TypeError):
        return 0
