"""How the page writes shares, differences, intervals and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def make_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [
        " | ".join(map(str, columns)),
        "|".join("---" for _ in columns),
        *(" | ".join(map(str, row)) for row in rows),
    ]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def write_percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def write_whole(share: float) -> str:
    """Per cent without decimals; no minus before a zero."""
    return str(round(100 * share)).replace("-", "−")


def write_signed(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}".replace("-", "−")


def write_score(one: Mapping[str, Any]) -> str:
    return write_percent(one["value"]) + (
        "" if one["low"] is None else f" ({write_percent(one['low'])} to {write_percent(one['high'])})"
    )


def write_gain(one: Mapping[str, Any]) -> str:
    ends = "" if one["low"] is None else f" ({write_signed(one['low'])} to {write_signed(one['high'])})"
    return write_signed(one["value"]) + ends
