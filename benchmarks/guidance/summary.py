"""Sum up a store of `search.py`: per half and arm, what revisions repair of the same failures, per failure and per
token, with intervals, beside sampling anew at the same temperature. As a script: write the tables of docs/guidance.md
anew from `results/`.

    python benchmarks/guidance/summary.py

Two drafts of one problem are no independent failures, so intervals of differences come from drawing problems, not
failures, with replacement (percentiles; Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from herl_bench.comparison.statistics import share_interval

Row = Mapping[str, Any]
HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "guidance.md"
DRAWS, LEVEL = 10_000, 0.95


def sum_up(rows: Mapping[str, Row], extract: Callable[[str, str], str | None]) -> dict[str, Any]:
    """extract: (problem's id, response) → the final answer in it, by which a copy of the draft is known."""
    halves = sorted({r["half"] for r in rows.values()})
    return {half: _sum_up_half({k: r for k, r in rows.items() if r["half"] == half}, extract) for half in halves}


def _sum_up_half(rows: Mapping[str, Row], extract: Callable[[str, str], str | None]) -> dict[str, Any]:
    drafts = [r for r in rows.values() if r["arm"] == "draft" and r["reward"] is not None]
    by_arm: dict[str, list[Row]] = {}
    for row in rows.values():
        if row["arm"] != "draft" and row["reward"] is not None:
            by_arm.setdefault(row["arm"], []).append(row)
    arms = {}
    for name, revisions in sorted(by_arm.items()):
        control = f"plain@{name.rpartition('@')[2]}"
        found = _describe_arm(rows, revisions, extract)
        if name != control and control in by_arm:
            found["against"] = {"arm": control, **_compare(revisions, by_arm[control])}
        arms[name] = found
    return {"drafts": _describe_drafts(drafts), "arms": arms}


def _describe_drafts(drafts: Sequence[Row]) -> dict[str, Any]:
    return {
        "answers": len(drafts),
        "problems": len({r["id"] for r in drafts}),
        "right": _round(fmean(r["reward"] >= 1 for r in drafts)),
        "reward": _round(fmean(r["reward"] for r in drafts)),
        "cut_off": _round(fmean(r["finish"] == "length" for r in drafts)),
        "tokens": _round(fmean(r["tokens"] for r in drafts), 1),
    }


def _describe_arm(
    rows: Mapping[str, Row], revisions: Sequence[Row], extract: Callable[[str, str], str | None]
) -> dict[str, Any]:
    firsts = [r for r in revisions if r["key"].endswith("#0")]
    repaired = [r["reward"] >= 1 for r in firsts]
    before = [rows[r["draft"]]["reward"] for r in firsts]
    written, read = sum(r["tokens"] for r in firsts), sum(r["prompt_tokens"] for r in firsts)
    low, high = share_interval(sum(repaired), len(repaired))
    copies = [_is_copy(rows[r["draft"]], r, extract) for r in firsts]
    found = {
        "failures": len(firsts),
        "problems": len({r["id"] for r in firsts}),
        "repaired": _round(fmean(repaired)),
        "repaired_interval": [_round(low), _round(high)],
        "reward": _round(fmean(r["reward"] for r in firsts)),
        "reward_of_drafts": _round(fmean(before)),
        "better": sum(r["reward"] > b for r, b in zip(firsts, before, strict=True)),
        "worse": sum(r["reward"] < b for r, b in zip(firsts, before, strict=True)),
        "copies": _round(fmean(copies)),
        "cut_off": _round(fmean(r["finish"] == "length" for r in firsts)),
        "tokens_written": _round(written / len(firsts), 1),
        "tokens_read": _round(read / len(firsts), 1),
        "repaired_per_1000_written": _round(1000 * sum(repaired) / written, 2),
        "repaired_per_1000_written_or_read": _round(1000 * sum(repaired) / (written + read), 2),
    }
    pairs = _pair_up(revisions)
    if pairs:
        found["best_of_two"] = {"failures": len(pairs), "repaired": _round(fmean(max(p) >= 1 for p in pairs))}
    return found


def _is_copy(draft: Row, revision: Row, extract: Callable[[str, str], str | None]) -> bool:
    ours, theirs = extract(revision["id"], revision["text"]), extract(draft["id"], draft["text"])
    same_text = revision["text"].strip() == draft["text"].strip()
    return same_text or (ours is not None and theirs is not None and ours.strip() == theirs.strip())


def _pair_up(revisions: Sequence[Row]) -> list[tuple[float, float]]:
    """Rewards of the two revisions of those failures that got two."""
    by_key = {r["key"]: r["reward"] for r in revisions}
    return [(v, by_key[k[:-1] + "1"]) for k, v in by_key.items() if k.endswith("#0") and k[:-1] + "1" in by_key]


def _compare(revisions: Sequence[Row], control: Sequence[Row]) -> dict[str, Any]:
    """On the failures that both have: differences (revision - sampled anew), by failure and by 1,000 written tokens."""
    ours, theirs = ({r["draft"]: r for r in rows if r["key"].endswith("#0")} for rows in (revisions, control))
    shared = sorted(set(ours) & set(theirs))
    problems: dict[str, list[str]] = {}
    for key in shared:
        problems.setdefault(ours[key]["id"], []).append(key)
    if len(problems) < 2:
        return {"failures": len(shared)}
    sums = [_add_up([ours[k] for k in keys], [theirs[k] for k in keys]) for keys in problems.values()]
    return {
        "failures": len(shared),
        "repaired_here_only": sum(ours[k]["reward"] >= 1 > theirs[k]["reward"] for k in shared),
        "repaired_there_only": sum(theirs[k]["reward"] >= 1 > ours[k]["reward"] for k in shared),
        **{name: _bootstrap(sums, *columns) for name, columns in DIFFERENCES.items()},
    }


def _add_up(ours: Sequence[Row], theirs: Sequence[Row]) -> list[float]:
    """One problem's failures, repairs, rewards and written tokens, of both sides."""
    return [
        len(ours),
        *(sum(r["reward"] >= 1 for r in rows) for rows in (ours, theirs)),
        *(sum(r["reward"] for r in rows) for rows in (ours, theirs)),
        *(sum(r["tokens"] for r in rows) / 1000 for rows in (ours, theirs)),
    ]


DIFFERENCES = {"repaired": ((1, 0), (2, 0)), "reward": ((3, 0), (4, 0)), "repaired_per_1000_written": ((1, 5), (2, 6))}
"""Each is a ratio of two columns of `_add_up`, ours less theirs."""


def _bootstrap(sums: Sequence[Sequence[float]], ours: tuple[int, int], theirs: tuple[int, int]) -> dict[str, Any]:
    import numpy as np

    table = np.asarray(sums, float)
    weights = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), DRAWS)
    drawn = weights @ table
    differences = drawn[:, ours[0]] / drawn[:, ours[1]] - drawn[:, theirs[0]] / drawn[:, theirs[1]]
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    total = table.sum(0)
    value = total[ours[0]] / total[ours[1]] - total[theirs[0]] / total[theirs[1]]
    return {"difference": _round(value), "interval": [_round(low), _round(high)]}


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)


COLUMNS = (
    "arm",
    "failures",
    "repaired",
    "(less sampling anew)",
    "reward",
    "better / worse",
    "copies",
    "written",
    "repaired per 1,000 written (less sampling anew)",
)


def write_table(arms: Mapping[str, Any]) -> str:
    """As Markdown, in falling order of mean reward."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for name, arm in sorted(arms.items(), key=lambda item: -item[1]["reward"]):
        low, high = arm["repaired_interval"]
        cells = [
            f"`{name}`",
            arm["failures"],
            f"{arm['repaired']:.1%} [{low:.1%}, {high:.1%}]",
            _write_difference(arm.get("against", {}).get("repaired")),
            f"{arm['reward']:.3f}",
            f"{arm['better']} / {arm['worse']}",
            f"{arm['copies']:.0%}",
            f"{arm['tokens_written']:.0f}",
            f"{arm['repaired_per_1000_written']:.2f} "
            + _write_difference(arm.get("against", {}).get("repaired_per_1000_written"), ".2f"),
        ]
        lines.append(f"| {' | '.join(str(cell).strip() for cell in cells)} |")
    return "\n".join(lines)


def _write_difference(found: Mapping[str, Any] | None, form: str = ".1%") -> str:
    if found is None:
        return ""
    low, high = found["interval"]
    return f"({found['difference']:+{form}} [{low:+{form}}, {high:+{form}}])"


def fill_page(text: str) -> str:
    """The page with each table between `<!-- generated: NAME HALF -->` and `<!-- end -->` made anew."""

    def fill(mark: re.Match[str]) -> str:
        name, half = mark[1].split()
        found = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))["halves"][half]
        return f"<!-- generated: {mark[1]} -->\n{write_table(found['arms'])}\n<!-- end -->"

    return re.sub(r"<!-- generated: (.*?) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
