"""A drawing: lines, areas, rectangles, marks and words at pixel positions, and its two outputs, SVG for a page and PNG
for a slide.

A colour is a role (`ink`, `soft`, `grid`, `series 0` …), never a value, so that one drawing serves a light page, a dark
page and paper: the page's style sheet gives each role its colour, `PALETTE` has the same ones for PNG. Series differ in
dash and mark too, so that they can be told apart without colour.

Left out: everything that a plotting library does about data. What the axes are is decided in `charts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

from herl_bench.errors import UsageError

SERIES = 6
MARGIN = 18.0
"""Pixels of paper around a PNG."""
DASHES: tuple[tuple[float, ...], ...] = ((7, 4), (), (2, 3), (10, 3, 2, 3), (4, 2), (12, 4))
MARKS = ("circle", "square", "triangle", "diamond", "ring", "bar")

# Each at least 4.5 : 1 on its paper; hues that red-green and blue-yellow blind readers tell apart (Wong 2011, darkened
# or lightened to that contrast).
PALETTE: Mapping[str, Mapping[str, str]] = {
    "light": {
        "paper": "#fdfcfa",
        "raised": "#f4f2ed",
        "ink": "#1d1f23",
        "soft": "#5a5f68",
        "grid": "#dedad2",
        "shade": "#c9c4b9",
        "good": "#00694e",
        "bad": "#a33a06",
        "series0": "#b24a0a",
        "series1": "#0b62a8",
        "series2": "#00735a",
        "series3": "#98397a",
        "series4": "#75600a",
        "series5": "#4f5966",
    },
    "dark": {
        "paper": "#15171b",
        "raised": "#1e2127",
        "ink": "#e8e6e1",
        "soft": "#a5a9b1",
        "grid": "#343841",
        "shade": "#4a5060",
        "good": "#5fd0a8",
        "bad": "#ff9c66",
        "series0": "#ff9d5c",
        "series1": "#74b7f5",
        "series2": "#4fcfa6",
        "series3": "#ee9bcd",
        "series4": "#dcc055",
        "series5": "#b6bec9",
    },
}


def series(index: int) -> str:
    """The role of the method at this position."""
    return f"series{index % SERIES}"


@dataclass(frozen=True)
class Line:
    """Through `points` (x, y); with `fill` an area of that opacity instead."""

    points: Sequence[tuple[float, float]]
    role: str = "ink"
    width: float = 1.0
    dash: Sequence[float] = ()
    fill: float | None = None


@dataclass(frozen=True)
class Box:
    """A filled rectangle; `note` is shown under the pointer."""

    x: float
    y: float
    width: float
    height: float
    role: str
    opacity: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """A small sign centred on (x, y), `size` pixels across."""

    x: float
    y: float
    shape: str
    role: str
    size: float = 7.0
    opacity: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Words:
    """`y` is the base line."""

    x: float
    y: float
    text: str
    role: str = "ink"
    size: float = 12.0
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Shape = Line | Box | Mark | Words


@dataclass(frozen=True)
class Drawing:
    """label: what it shows, in words, for readers who do not see it. Later shapes lie on top."""

    width: float
    height: float
    label: str
    shapes: Sequence[Shape] = field(default_factory=tuple)


# ------------------------------------------------------------------------------------------------------------------ SVG
def to_svg(drawing: Drawing, kind: str = "") -> str:
    """An `<svg>` element. Colours come from the page's style sheet: class `l` strokes and class `f` fills with the
    colour of the role's class."""
    body = "".join(_svg(shape) for shape in drawing.shapes)
    size = (
        f'viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" width="{_n(drawing.width)}"'
        f' height="{_n(drawing.height)}"'
    )
    return f'<svg class="chart {kind}" {size} role="img" aria-label="{escape(drawing.label)}">{body}</svg>'


def _svg(shape: Shape) -> str:
    if isinstance(shape, Words):
        weight = ' font-weight="600"' if shape.bold else ""
        return (
            f'<text class="f {shape.role}" x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}" '
            f'text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
        )
    note = f"<title>{escape(shape.note)}</title>" if not isinstance(shape, Line) and shape.note else ""
    if isinstance(shape, Box):
        return (
            f'<rect class="f {shape.role}" x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}"'
            f' height="{_n(shape.height)}" fill-opacity="{_n(shape.opacity)}">{note}</rect>'
        )
    if isinstance(shape, Mark):
        if shape.shape in ("circle", "ring"):
            how = 'class="l' if shape.shape == "ring" else 'class="f'
            position = f'cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.size / 2)}"'
            return (
                f'<circle {how} {shape.role}" {position} stroke-width="1.5"'
                f' fill-opacity="{_n(shape.opacity)}">{note}</circle>'
            )
        path = _path(_outline(shape)) + "Z"
        return f'<path class="f {shape.role}" d="{path}" fill-opacity="{_n(shape.opacity)}">{note}</path>'
    if shape.fill is not None:
        return f'<path class="f {shape.role}" d="{_path(shape.points)}Z" fill-opacity="{_n(shape.fill)}"/>'
    dash = f' stroke-dasharray="{" ".join(map(_n, shape.dash))}"' if shape.dash else ""
    return f'<path class="l {shape.role}" d="{_path(shape.points)}" stroke-width="{_n(shape.width)}"{dash}/>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _outline(mark: Mark) -> list[tuple[float, float]]:
    r, x, y = mark.size / 2, mark.x, mark.y
    if mark.shape == "triangle":
        return [(x, y - r * 1.15), (x + r * 1.1, y + r * 0.85), (x - r * 1.1, y + r * 0.85)]
    if mark.shape == "diamond":
        return [(x, y - r * 1.2), (x + r * 1.2, y), (x, y + r * 1.2), (x - r * 1.2, y)]
    if mark.shape == "bar":
        return [(x - r * 1.2, y - r / 3), (x + r * 1.2, y - r / 3), (x + r * 1.2, y + r / 3), (x - r * 1.2, y + r / 3)]
    return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


# ------------------------------------------------------------------------------------------------------------------ PNG
def to_png(drawing: Drawing, path: Path, *, theme: str = "light", scale: float = 2.0) -> None:
    """The same drawing on paper, `scale` image pixels per pixel. Raises `UsageError` where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("--format png needs matplotlib: pip install 'herl-bench[plots]'") from None
    from herl_bench.saving import saving

    colors = PALETTE[theme]
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN
    figure = Figure(figsize=(width / 100, height / 100), dpi=100 * scale, facecolor=colors["paper"])
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-MARGIN, drawing.width + MARGIN)
    axes.set_ylim(drawing.height + MARGIN, -MARGIN)
    for order, shape in enumerate(drawing.shapes):
        _paint(axes, shape, colors[shape.role], order)
    FigureCanvasAgg(figure)
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor=colors["paper"], metadata={"Title": drawing.label})


def _paint(axes: Any, shape: Shape, color: str, order: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, Polygon, Rectangle

    point = 72 / 100  # points per pixel
    if isinstance(shape, Words):
        axes.text(
            shape.x,
            shape.y,
            shape.text,
            color=color,
            fontsize=shape.size * point * 0.92,
            va="baseline",
            zorder=order,
            parse_math=False,
            ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
            fontweight="bold" if shape.bold else "normal",
        )
    elif isinstance(shape, Box):
        axes.add_patch(
            Rectangle(
                (shape.x, shape.y),
                shape.width,
                shape.height,
                facecolor=color,
                alpha=shape.opacity,
                linewidth=0,
                zorder=order,
            )
        )
    elif isinstance(shape, Mark):
        if shape.shape in ("circle", "ring"):
            fill = (
                {"fill": False, "edgecolor": color, "linewidth": 1.5 * point}
                if shape.shape == "ring"
                else {"facecolor": color, "linewidth": 0}
            )
            axes.add_patch(Circle((shape.x, shape.y), shape.size / 2, alpha=shape.opacity, zorder=order, **fill))
        else:
            axes.add_patch(Polygon(_outline(shape), facecolor=color, alpha=shape.opacity, linewidth=0, zorder=order))
    elif shape.fill is not None:
        axes.add_patch(Polygon(list(shape.points), facecolor=color, alpha=shape.fill, linewidth=0, zorder=order))
    else:
        xs, ys = zip(*shape.points, strict=True)
        style: Any = (0, tuple(d / max(shape.width, 1.0) for d in shape.dash)) if shape.dash else "-"
        axes.add_line(
            Line2D(
                xs, ys, color=color, linewidth=shape.width * point, linestyle=style, zorder=order, solid_capstyle="butt"
            )
        )
