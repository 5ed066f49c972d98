"""Checkpoints of a run: `checkpoints/step-000005/` with state.pt and sums.json, the newest two.

A checkpoint is written beside and renamed, so that a torn one is never seen. It remembers how long the logs were and
what they held, and a resumed run cuts them back to that, so that a run that was killed and resumed leaves the same
bytes as one that was not (wall-clock fields aside). The disk has the logs before the checkpoint that counts on them. A
checkpoint that is damaged, or whose logs are, is never gone on from.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.runs import RunFiles
from herl_bench.saving import Log, digest_prefix, find_damage, measure_size, read_sums, saving, sync, write_sums

KEPT = 2


def save_checkpoint(directory: Path, name: str, state: Mapping[str, Any], logs: Mapping[str, Log]) -> Path:
    """Write the whole state beside, flush it to disk, rename it, and drop all but the newest two of a run's steps."""
    import torch

    folder = RunFiles(directory).checkpoints / name
    if (folder / "state.pt").is_file() and name.startswith("step-"):
        return folder
    sealed = {log_name: log.seal() for log_name, log in logs.items()}
    written = {log_name: log["bytes"] for log_name, log in sealed.items()}
    beside = folder.with_name(f".{folder.name}.tmp")
    with saving(folder):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        sync(directory)
        with open(beside / "state.pt", "wb") as file:
            torch.save({"state": dict(state), "written": written}, file)
        write_sums(beside, logs=sealed)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
        sync(folder.parent)
    for old in list_checkpoints(directory)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(directory: Path | None, logs: Mapping[str, Log]) -> dict[str, Any] | None:
    """The newest checkpoint's state, with the logs cut back to it; None, with empty logs, where there is none.

    directory: of a run that goes on; None for one that begins.
    """
    found = find_whole_checkpoint(directory) if directory else None
    saved = _read_state(found) if found else {"state": None, "written": {}}
    for name, log in logs.items():
        log.cut(saved["written"].get(name, 0))
    state: dict[str, Any] | None = saved["state"]
    return state


def list_checkpoints(directory: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(p.parent for p in RunFiles(directory).checkpoints.glob("step-*/state.pt"))


def find_whole_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint, or None. Raises `UsageError`, with a remedy, where it cannot be gone on from."""
    found = list_checkpoints(directory)
    if not found or not (fault := _find_fault(directory, found[-1])):
        return found[-1] if found else None
    older = next((c for c in reversed(found[:-1]) if not _find_fault(directory, c)), None)
    if older:
        doomed = shlex.join(str(c) for c in found if c.name > older.name)
        cure = f"{older} is whole: delete the newer one (rm -r {doomed}) and --resume goes on from there"
    else:
        doomed = shlex.quote(str(RunFiles(directory).checkpoints))
        cure = f"no earlier checkpoint is whole: delete them (rm -r {doomed}) and --resume begins again from the start"
    raise UsageError(f"{found[-1]} cannot be resumed from: {fault}; {cure}")


def parse_step(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _find_fault(directory: Path, checkpoint: Path) -> str:
    """Why a checkpoint cannot be gone on from, in words; empty where it can."""
    if harm := find_damage(checkpoint):
        return harm
    try:
        logs = read_sums(checkpoint).get("logs")
        logs = logs or {name: {"bytes": n} for name, n in _read_state(checkpoint)["written"].items()}
    except UsageError as error:
        return str(error)
    for name, log in logs.items():
        path, wanted = directory / name, log["bytes"]
        if (there := measure_size(path)) < wanted:
            what = f"holds {there:,} of the {wanted:,} bytes that it counts on"
            if not path.exists():
                what = f"is gone, with the {wanted:,} bytes of it"
            return f"{name} {what} (put the file back where there is a copy)"
        if "sha256" in log and digest_prefix(path, wanted).hexdigest() != log["sha256"]:
            return f"{name} was changed after it was written (put the file back where there is a copy)"
    return ""


def _read_state(checkpoint: Path) -> dict[str, Any]:
    import torch

    try:
        saved: dict[str, Any] = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
        assert {"state", "written"} <= set(saved)
    except Exception as error:
        raise UsageError(f"state.pt cannot be read ({type(error).__name__})") from None
    return saved
