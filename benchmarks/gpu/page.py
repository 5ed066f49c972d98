"""The tables of docs/gpu.md, from the results that `measure.py` and `../memory.py` left: run as a program, it writes
them anew between the page's marks. The same results give the same bytes. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plan import SHARES

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "gpu.md"
MARKS = re.compile(r"(<!-- (gpu|memory): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)
NOTHING = "No accelerator could be used for this release, so there are no numbers of one yet.\n"
LEFT_OUT = {"seconds", "drafts", "arms", "before", "after", "step_s", "peak_of", "learning_rate"}


def write_page(text: str, results: Path) -> str:
    """The page with its tables made anew."""
    made = {"gpu": write_accelerator(results / "gpu"), "memory": write_memory(results / "memory.json")}
    return MARKS.sub(lambda found: found[1] + made[found[2]] + found[3], text)


def write_accelerator(folder: Path) -> str:
    parts = [
        json.loads(path.read_text(encoding="utf-8")) for name in SHARES if (path := folder / f"{name}.json").is_file()
    ]
    return "\n".join(map(write_part, parts)) if parts else NOTHING


def write_part(part: Mapping[str, Any]) -> str:
    machine = part["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    head = f"### {part['part']}\n{machine['device_name']}; {versions}; `{part['command']}`\n\n"
    return head + make_table({name: flatten(found) for name, found in part["measured"].items()})


def write_memory(file: Path) -> str:
    if not file.is_file():
        return "Not measured yet.\n"
    found = json.loads(file.read_text(encoding="utf-8"))
    return f"{found['machine']}; `{found['command']}`\n\n" + make_table(found["measured"])


def flatten(found: Mapping[str, Any]) -> dict[str, Any]:
    """A measurement's numbers by name. Of the guidance gap: what each arm repaired; of a run: the metric's way."""
    plain = {name: value for name, value in found.items() if name not in LEFT_OUT}
    for arm, told in found.get("arms", {}).items():
        plain[arm] = told.get("repaired")
    for label in ("before", "after"):
        if value := found.get(label):
            plain[label] = f"{value['value']:.3f} ± {value['stderr'] or 0:.3f}"
    return plain


def make_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [write_row(["", *(name.replace("_", " ") for name in columns)]), write_row(["---"] * (len(columns) + 1))]
    lines += [write_row([name, *(write_value(row.get(column)) for column in columns)]) for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def write_row(cells: Sequence[str] | Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    asked.page.write_text(write_page(asked.page.read_text(encoding="utf-8"), asked.results), encoding="utf-8")
