"""A chart: a matplotlib figure, as SVG for a page and as PNG for a slide.

A figure is drawn in the light palette's colours. The page's SVG has none of them: each becomes the class of its role
(`ink`, `soft`, `grid`, `series0` …), which the page's style sheet colours for light, dark, paper and forced colours;
class `l` strokes and `f` fills. That, and the page's policy, which allows no style attributes, is why matplotlib's SVG
is not put into a page as it is: `to_svg` keeps its paths and words and leaves out the rest (four bytes in five).

Left out: what a chart shows, which is decided in `charts.py`.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from herl_bench.plain_text import flatten, neutralize
from herl_bench.report.palette import PALETTE
from herl_bench.saving import saving

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, NARROW = 920.0, 340.0
"""Pixels; the style sheet shows the drawing that fits the screen."""
DPI = 72
"""So that a point, which is what matplotlib measures lines and letters in, is a pixel."""
MARGIN = 18.0
"""Pixels of paper around a PNG."""
NOTE = "note "
"""Begins the `gid` of what has words to be shown under the pointer."""
LONGEST = 200
"""Letters of a text that are drawn: matplotlib takes seconds to measure what would never fit."""
SHAPES = Path(__file__).parent / "pages" / "chart.mplstyle"
COLORS: Any = {
    "text.color": PALETTE["light"]["ink"],
    "grid.color": PALETTE["light"]["grid"],
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), PALETTE["light"]["soft"]),
}
ROLES = {color: role for role, color in PALETTE["light"].items()}
SVG = "{http://www.w3.org/2000/svg}"
DECIMALS = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Chart:
    """label: what it shows, for readers who do not see it. draw: gives its axes, in a figure so many pixels wide."""

    label: str
    draw: Callable[[float], Axes]

    def __html__(self) -> str:
        """In two widths, so that a phone need not shrink it."""
        return f'<div class="figure">{to_svg(self, WIDE, "wide")}{to_svg(self, NARROW, "narrow")}</div>'


def to_png(chart: Chart, path: Path, warning: str = "") -> None:
    """Two image pixels per pixel. warning: stands under the chart."""
    import matplotlib

    paper = {"facecolor": PALETTE["light"]["paper"], "bbox_inches": "tight", "pad_inches": MARGIN / DPI}
    with matplotlib.rc_context(COLORS, SHAPES), saving(path):
        axes = chart.draw(WIDE)
        axes.figure.set_frameon(True)
        corner = -axes.bbox.x0, -axes.bbox.y0 - MARGIN
        axes.annotate(warning, (0, 0), corner, "axes fraction", "offset points", weight="bold")
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(axes, path, dpi=2 * DPI, metadata={"Title": chart.label, "Software": None}, **paper)


def to_svg(chart: Chart, width: float, kind: str) -> str:
    """An `<svg>` element of class `kind`."""
    import matplotlib

    written = io.StringIO()
    with matplotlib.rc_context(COLORS, SHAPES):
        _save(chart.draw(width), written, format="svg")
    root = ElementTree.fromstring(written.getvalue())
    outlines = {f"#{path.get('id')}": path.attrib for path in root.iter(f"{SVG}path") if path.get("id")}
    _, _, across, down = root.get("viewBox", "").split()
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {across} {down}" width="{across}" height="{down}" role="img"'
        f' aria-label="{escape(neutralize(chart.label))}">{"".join(_rewrite(root, outlines, ""))}</svg>'
    )


def _save(axes: Axes, target: Any, **how: Any) -> None:
    from matplotlib.text import Text

    figure: Any = axes.figure
    for artist in figure.findobj():
        artist.set_gid(neutralize((artist.get_gid() or "")[:LONGEST]) or None)
        if isinstance(artist, Text):
            artist.set_text(flatten(artist.get_text()[:LONGEST]))
    with warnings.catch_warnings():  # a letter that matplotlib's font lacks: the page's fonts have it
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(target, **how)


def _rewrite(element: Any, outlines: Mapping[str, Mapping[str, str]], note: str) -> Iterator[str]:
    """What an element of matplotlib's SVG draws, in the page's words. outlines: shapes used by reference."""
    tag = element.tag.removeprefix(SVG)
    if tag == "defs":
        return
    if tag == "g" and element.get("id", "").startswith(NOTE):
        note = f"<title>{escape(element.get('id').removeprefix(NOTE))}</title>"
    attributes: dict[str, str] = dict(element.attrib)
    if tag == "use":
        shape = outlines[attributes["{http://www.w3.org/1999/xlink}href"]]
        place = f"translate({attributes['x']} {attributes['y']})"
        attributes = {"d": shape["d"], "style": f"{shape.get('style', '')};{attributes['style']}", "transform": place}
    style = dict(part.strip().split(": ", 1) for part in attributes.get("style", "").split(";") if part.strip())
    if tag == "text":
        role = ROLES[style["fill"]]
        weight = ' font-weight="600"' if "700" in style.get("font-weight", style.get("font", "")) else ""
        anchor = style.get("text-anchor", "start")
        yield (
            f'<text class="f {role}" x="{_round(attributes["x"])}" y="{_round(attributes["y"])}"'
            f' text-anchor="{anchor}"{weight}>{escape(element.text or "")}</text>'
        )
    elif "d" in attributes and tag in ("path", "use"):
        yield _shape(attributes, style, note)
    for inner in element:
        yield from _rewrite(inner, outlines, note)


def _shape(attributes: Mapping[str, str], style: Mapping[str, str], note: str) -> str:
    kind, color = ("l", style["stroke"]) if "stroke" in style else ("f", style["fill"])
    if color == "none":
        return ""
    kept = [("d", " ".join(attributes["d"].split())), ("transform", attributes.get("transform"))]
    kept += [("fill-opacity", style.get("opacity") or style.get("fill-opacity"))]
    kept += [(name, style.get(name)) for name in ("stroke-width", "stroke-dasharray")]
    words = "".join(f' {name}="{_round(value)}"' for name, value in kept if value)
    return f'<path class="{kind} {ROLES[color]}"{words}>{note}</path>'


def _round(numbers: str) -> str:
    return DECIMALS.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers)
