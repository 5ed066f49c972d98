"""The study's results in two files: `tables.json`, every arm's numbers over its seeds, and `raw.tar.xz`, what was
measured. Results of another edition of the study are as none.

The archive holds a JSON file per part: every run's outcomes per problem, its curves, settings, versions and hardware,
and the probes of its cells.
To read one without any of this:

    tar -xJOf benchmarks/science/results/raw.tar.xz rules-gsm8k.json | python -m json.tool

The tables are made of the archive by `tables.py`, and both are written together; the same results give the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from tables import EDITION, Row, round_all, tabulate

from herl_bench.saving import write_whole

RAW, TABLES = "raw.tar.xz", "tables.json"


def read_raw(folder: Path) -> dict[str, Row]:
    """By part; empty where there is no archive."""
    if not (folder / RAW).is_file():
        return {}
    with tarfile.open(folder / RAW) as archive:
        every = {member.name.removesuffix(".json"): json.load(_open(archive, member)) for member in archive}
    return _keep_edition(every)


def _keep_edition(found: dict[str, Row]) -> dict[str, Row]:
    return {name: one for name, one in found.items() if one.get("edition") == EDITION}


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    file = archive.extractfile(member)
    assert file is not None, member.name
    return file


def read_tables(folder: Path) -> dict[str, Row]:
    """By part; empty where there are none."""
    place = folder / TABLES
    return _keep_edition(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else {}


def write_results(folder: Path, raw: dict[str, Row]) -> None:
    """Both files, each whole or as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / TABLES, format_json({name: round_all(tabulate(raw[name])) for name in sorted(raw)}))
    beside = folder / f".{RAW}.tmp"
    with tarfile.open(beside, "w:xz", preset=9) as archive:
        for part in sorted(raw):
            content = format_json(raw[part]).encode()
            member = tarfile.TarInfo(f"{part}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    os.replace(beside, folder / RAW)


def format_json(found: Row) -> str:
    """JSON of one line per arm, contrast and run, so that a change is a line of a diff."""
    return _format(found) + "\n"


def _format(value: Any, indent: str = "") -> str:
    """Lists of mappings, and mappings that hold such, go over several lines."""
    deeper = indent + " "
    if _is_rows(value):
        return "[\n" + ",\n".join(deeper + _format(one, deeper) for one in value) + f"\n{indent}]"
    if isinstance(value, dict) and _holds_rows(value):
        lines = (f"{deeper}{json.dumps(name)}: {_format(one, deeper)}" for name, one in value.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _holds_rows(value: Any) -> bool:
    return isinstance(value, dict) and any(_is_rows(one) or _holds_rows(one) for one in value.values())
