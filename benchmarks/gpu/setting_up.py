"""Make herl-bench usable on a machine where it is not installed: packages beside PyTorch's out of wheels, the working
tree on the path, and the entry points that name its built-in tasks. Standard library only.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path


def set_up(root: Path, site: Path, wheels: Path | None) -> Mapping[str, str]:
    """The environment in which `python` has herl-bench. root: the working tree. site: where packages are unpacked to.

    A program `bwrap` beside the wheels is put on the path, for the sandbox.
    """
    site.mkdir(parents=True, exist_ok=True)
    paths, programs = [str(site)], []
    if wheels is not None:
        programs = [str(wheels.resolve())] if (wheels / "bwrap").is_file() else []
        _unpack(wheels, site)
    if not _is_installed():
        write_entry_points(root, site)
        paths += [str(root), *(str(folder) for folder in sorted(root.glob("plugins/*")) if folder.is_dir())]
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
    }


def find_model(name: str, folder: Path) -> Path | None:
    """A checkpoint folder, or else a .gguf file, whose name begins with the model's, whatever its case."""
    named = [path for path in sorted(folder.glob("*")) if path.name.lower().startswith(name.lower())]
    folders = [path for path in named if (path / "config.json").is_file()]
    return next(iter([*folders, *(path for path in named if path.suffix == ".gguf")]), None)


def _is_installed() -> bool:
    try:
        importlib.metadata.version("herl-bench")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _unpack(wheels: Path, site: Path) -> None:
    files = sorted(map(str, wheels.glob("*.whl")))
    unpacked = site / "unpacked.txt"
    if not files or (unpacked.is_file() and unpacked.read_text(encoding="utf-8") == "\n".join(files)):
        return
    offline = ["--no-index", "--no-deps", "--no-compile", "--upgrade", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", str(site), *files], check=True)
    unpacked.write_text("\n".join(files), encoding="utf-8")


def write_entry_points(root: Path, site: Path) -> None:
    """As an installation would, out of pyproject.toml: importlib.metadata finds them on the path."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = site / f"herl_bench-{project['version']}.dist-info"
    folder.mkdir(exist_ok=True)
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
