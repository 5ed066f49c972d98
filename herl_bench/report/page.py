"""A self-contained HTML page: a template, a style sheet, a script, and the data that it shows, all in one file.

What a model wrote is data and can never run. Templates escape every value. Texts for the script are packed (JSON, gzip,
base64) into a data block, and the script puts them into the page with `textContent` alone. A Content-Security-Policy
allows this very style sheet and script, by their hashes, and nothing else: no network, no frames, no forms. Characters
that could mislead a reader (controls, direction overrides) are shown as signs.

Left out: what is on a page; `report.py` and `leaderboard.py` decide that.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from herl_bench.plain_text import neutralize
from herl_bench.report.palette import PALETTE

PAGES = Path(__file__).parent / "pages"
ROOM = 5_000_000
"""Characters of packed texts on a page; the rest of a page takes well under another million."""
POLICY = "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"
LIMITS = (None, 4000, 2000, 1000, 500, 250, 120, 60)


def render(template: str, *, texts: Mapping[str, Any] | None = None, **context: Any) -> str:
    """The page that `pages/TEMPLATE` makes of `context`. texts: what the script shows; see `pack`."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: neutralize(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters |= FILTERS
    style, script = _read_style(), (PAGES / "page.js").read_text(encoding="utf-8")
    data, cut = pack(texts) if texts else ("", None)
    trusted = {name: Markup(text) for name, text in (("style", style), ("script", script), ("data", data))}
    policy = POLICY.format(_hash(style), _hash(script))
    return environment.get_template(template).render(**context, **trusted, policy=policy, cut=cut)


def pack(texts: Mapping[str, Any], room: int = ROOM) -> tuple[str, int | None]:
    """Gzipped JSON in base64, a string of about `room` at most; and to how many characters texts were cut, or None."""
    for limit in LIMITS:
        shown = texts if limit is None else _shorten(texts, limit)
        whole = json.dumps(shown, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        squeezed = base64.b64encode(gzip.compress(whole.encode("utf-8", "backslashreplace"), 9, mtime=0)).decode()
        if len(squeezed) <= room:
            break
    return f'"{squeezed}"', limit


def _shorten(value: Any, limit: int) -> Any:
    if isinstance(value, str) and len(value) > limit + 40:
        half, left_out = limit // 2, len(value) - limit
        return f"{value[:half]} … [{left_out:,} characters left out] … {value[len(value) - half :]}"
    if isinstance(value, Mapping):
        return {key: _shorten(inner, limit) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shorten(inner, limit) for inner in value]
    return value


def _read_style() -> str:
    """The style sheet with the palette in front: one source for pages and PNG."""
    light, dark = ("".join(f"--{role}:{color};" for role, color in colors.items()) for colors in PALETTE.values())
    roles = "".join(f".{role}{{--c:var(--{role})}}" for role in PALETTE["light"])
    colors = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{roles}\n"
    return colors + (PAGES / "style.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---------------------------------------------------------------------------------------------------- words for numbers
def format_number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def format_signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def format_whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def format_percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def format_p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_bounds(interval: Any, digits: int = 3) -> str:
    """`0.412 to 0.530`; a dash where there is no interval."""
    low, high = (format_number(end, digits) for end in (interval.low, interval.high))
    return "–" if interval.low is None or interval.high is None else f"{low} to {high}"


def format_count(value: float | None) -> str:
    if value is None:
        return "–"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def format_seconds(value: float | None) -> str:
    if value is None:
        return "–"
    minutes, rest = divmod(round(value), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_json(value: Any) -> str:
    return json.dumps(_shorten(value, 4000), indent=2, ensure_ascii=False, default=str)


FILTERS: Mapping[str, Callable[..., str]] = {
    "number": format_number,
    "signed": format_signed,
    "whole": format_whole,
    "percent": format_percent,
    "p_value": format_p,
    "bounds": format_bounds,
    "flops": format_count,
    "seconds": format_seconds,
    "pretty": format_json,
}
