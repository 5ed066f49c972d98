"""What is here: the folders `rubrics/` and `tasks/`, packaged or in a checkout, and distributions' versions."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find_folder(name: str) -> Path:
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name}/ of herl-bench is missing: reinstall the package")


def rubrics_path() -> Path:
    return _find_folder("rubrics")


def tasks_path() -> Path:
    """The folder for lm-eval's `--include_path`."""
    return _find_folder("tasks")


def find_version(distribution: str) -> str | None:
    """None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
