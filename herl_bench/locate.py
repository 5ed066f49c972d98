"""Where the data folders `rubrics/` and `tasks/` lie: inside the installed package, or beside it in a source
checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name}/ of herl-bench is missing: reinstall the package")


def rubrics_path() -> Path:
    return _folder("rubrics")


def tasks_path() -> Path:
    """The folder for lm-eval's `--include_path`."""
    return _folder("tasks")
