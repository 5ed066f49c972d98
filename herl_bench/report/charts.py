"""The charts of a report: learning curves with bands, scores with intervals, criteria over training, calibration.

Every function takes its numbers and words and gives a `Chart`, which is drawn for a wide screen and for a phone instead
of shrunk. Values are shares in [0, 1] unless said. A series is told by colour, dash, mark and name.

Left out: interaction. What a point says under the pointer is in the tables of the page too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from herl_bench.report.drawing import DPI, NOTE, Chart
from herl_bench.report.palette import DASHES, MARKS, PALETTE, name_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTER = 6.9
"""Pixels that a letter is wide, an upper estimate of the mean."""
PHONE = 480
"""Pixels of width up to which a chart is drawn for a phone."""
LINE = 20
"""Pixels from one line of words to the next."""
INK, SOFT = PALETTE["light"]["ink"], PALETTE["light"]["soft"]


@dataclass(frozen=True)
class Curve:
    """One method's curve over generated tokens: (tokens, mean, low, high). position: the method's place among all,
    which gives its colour, dash and mark; look: another place's dash and mark."""

    name: str
    position: int
    points: Sequence[tuple[float, float, float, float]]
    look: int | None = None

    @property
    def style(self) -> dict[str, Any]:
        look = self.position if self.look is None else self.look
        dash = DASHES[look % len(DASHES)]
        return {
            "color": _color(self.position),
            "marker": MARKS[look % len(MARKS)],
            "linestyle": (0, dash) if dash else "-",
        }


@dataclass(frozen=True)
class Dot:
    """One row of a plot of scores. low and high: None where there is no interval. before: the score before training."""

    name: str
    position: int
    value: float
    low: float | None = None
    high: float | None = None
    before: float | None = None


# ------------------------------------------------------------------------------------------------------ learning curves
def plot_curves(curves: Sequence[Curve], *, y_label: str, label: str, target: float | None = None) -> Chart:
    """Lines of the mean with a band from lowest to highest, against generated tokens. target: a level to reach, as a
    thin line."""
    return Chart(label, partial(_draw_curves, curves, y_label, target))


def _draw_curves(curves: Sequence[Curve], y_label: str, target: float | None, width: float) -> Figure:
    top = _legend_height(curves, width) + 30
    figure, axes = _frame(width, top + (250 if width > PHONE else 200) + 42, left=46, right=12, top=top, bottom=42)
    _add_legend(figure, curves)
    for curve in curves:
        tokens, means, lows, highs = zip(*curve.points, strict=True)
        if highs > lows:
            axes.fill_between(tokens, lows, highs, color=curve.style["color"], alpha=0.16, linewidth=0)
        axes.plot(tokens, means, **{**curve.style, "marker": ""})
        every = max(1, len(means) // 8)
        for x, mean, _, _ in [*curve.points[every - 1 : -1 : every], curve.points[-1]]:
            _mark(axes, x, mean, curve, f"{curve.name}: {mean:.3f} at {x:,.0f} tokens")
    if target is not None:
        axes.axhline(target, color=SOFT, linewidth=1, dashes=(1, 3))
        axes.annotate("target", (0, target), (2, 5), textcoords="offset pixels", color=SOFT)
    most = max(curve.points[-1][0] for curve in curves) or 1.0
    axes.set(xlim=(0, most), ylim=_range(v for c in curves for *_, low, high in c.points for v in (low, high)))
    axes.grid(axis="x", visible=False)
    _set_ticks(axes.yaxis, 5)
    _set_ticks(axes.xaxis, 6 if width > PHONE else 4, tokens=True)
    _label(figure, axes, "generated tokens", y_label)
    return figure


# ---------------------------------------------------------------------------------------------------- scores, intervals
def plot_scores(dots: Sequence[Dot], *, x_label: str, label: str) -> Chart:
    """A row per method: its score with its interval, and a ring where it started."""
    span = _range(v for dot in dots for v in (dot.value, dot.low, dot.high, dot.before) if v is not None)
    return Chart(label, partial(_draw_rows, dots, span, x_label, "{:.3f}", None))


def plot_differences(dots: Sequence[Dot], *, x_label: str, label: str, sides: tuple[str, str]) -> Chart:
    """A row per comparison: a difference with its interval, against a line at 0. sides: what lies left and right of it,
    in words."""
    ends = [0.0, *(v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None)]
    room = max(0.02, (max(ends) - min(ends)) * 0.1)
    low, high = min(ends) - room, max(ends) + room
    low, high = min(low, -0.3 * high), max(high, -0.3 * low)  # so that the words stand beside the line
    return Chart(label, partial(_draw_rows, dots, (low, high), x_label, "{:+.3f}", sides))


def _draw_rows(
    dots: Sequence[Dot],
    span: tuple[float, float],
    x_label: str,
    number: str,
    sides: tuple[str, str] | None,
    width: float,
) -> Figure:
    phone = width <= PHONE
    left = 0.0 if phone else min(240.0, LINE + LETTER * max(len(dot.name) for dot in dots))
    row, top = 46 if phone else 34, LINE if sides else 0
    figure, axes = _frame(width, top + row * len(dots) + 48, left=left + 10, right=68, top=top, bottom=40)
    axes.set(xlim=span, ylim=(len(dots) - 0.4, -0.6))
    axes.yaxis.set_visible(False)
    for place, dot in enumerate(dots):
        color, told = _color(dot.position), number.format(dot.value).replace("-", "−")
        y = place + (0.2 if phone else 0)
        name = _shorten(dot.name, width if phone else left - 12)
        text = {"xycoords": ("figure pixels", "data"), "weight": "bold"}
        axes.annotate(name, (0, y - 0.45 if phone else y), va="center", **text)
        axes.annotate(told, (width, y), va="center", ha="right", **text)
        if dot.before is not None:
            note = f"{dot.name} before training: {dot.before:.3f}"
            axes.plot(
                dot.before, y, "o", markersize=8, fillstyle="none", color=SOFT, markeredgewidth=1.5, gid=NOTE + note
            )
        if dot.low is not None and dot.high is not None:
            axes.plot((dot.low, dot.high), (y, y), color=color)
            axes.plot((dot.low, dot.high), (y, y), "|", markersize=10, color=color, markeredgewidth=2.2)
        mark = MARKS[dot.position % len(MARKS)]
        axes.plot(dot.value, y, mark, markersize=10, color=color, gid=f"{NOTE}{dot.name}: {told}")
    _set_ticks(axes.xaxis, 4 if phone else 6)
    _label(figure, axes, x_label)
    if sides is not None:
        axes.axvline(0, color=INK, linewidth=1.4)
        beside = {"xycoords": ("data", "axes fraction"), "textcoords": "offset pixels", "color": SOFT}
        axes.annotate(f"← {sides[0]}", (0, 1), (-8, 4), ha="right", **beside)
        axes.annotate(f"{sides[1]} →", (0, 1), (8, 4), **beside)
    return figure


# ------------------------------------------------------------------------------------------------- criteria in training
def plot_criteria(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, position: int, label: str) -> Chart:
    """A strip per criterion over training, darker where more responses met it; the first and the last rate in figures.

    rows: (criterion, [(tokens, pass rate), …]).
    """
    return Chart(label, partial(_draw_criteria, rows, position))


def _draw_criteria(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], position: int, width: float) -> Figure:
    phone = width <= PHONE
    left = 44.0 if phone else 48 + min(240.0, LETTER * max(len(name) for name, _ in rows))
    row, strip = (42, 20 / 42) if phone else (26, 22 / 26)
    figure, axes = _frame(width, row * len(rows) + 26, left=left, right=44, top=0, bottom=26)
    most = max((points[-1][0] for _, points in rows if points), default=0.0)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.yaxis.set_visible(False)
    axes.xaxis.set_visible(False)
    for place, (name, points) in enumerate(rows):
        y = place + (0.2 if phone else 0)
        text = {"xycoords": ("figure pixels", "data"), "va": "center"}
        axes.annotate(_shorten(name, width if phone else left - 48), (0, y - 0.45 if phone else y), **text)
        if not points:
            axes.annotate("applied to nothing", (left, y), color=SOFT, **text)
            continue
        groups = _average_neighbours(points, 12 if phone else 28)
        for i, (tokens, rate) in enumerate(groups):
            axes.barh(
                y,
                1 / len(groups) - 0.0015,
                strip,
                i / len(groups),
                color=_color(position),
                alpha=0.06 + 0.94 * rate,
                gid=f"{NOTE}{name}: {rate:.2f} at {tokens:,.0f} tokens",
            )
        axes.annotate(_share(points[0][1]), (left - 8, y), color=SOFT, ha="right", **text)
        axes.annotate(_share(points[-1][1]), (width - 36, y), weight="bold", **text)
    for at, words, side in ((0, "0", "left"), (1, f"{_count(most)} tokens", "right")):
        axes.annotate(words, (at, 0), (0, -16), "axes fraction", "offset pixels", color=SOFT, ha=side)
    return figure


def _average_neighbours(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points."""
    size = math.ceil(len(points) / most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(v for _, v in group) / len(group)) for group in groups]


# ---------------------------------------------------------------------------------------------------------- calibration
def plot_calibration(groups: Sequence[tuple[Curve, Sequence[tuple[float, float, int]]]], *, label: str) -> Chart:
    """Predicted against measured improvement; the line is where both agree, a mark's area is the number of drafts
    behind it.

    groups: (the method, without points; [(mean predicted, mean measured, count), …]). Improvements may be negative.
    """
    return Chart(label, partial(_draw_calibration, groups))


def _draw_calibration(groups: Sequence[tuple[Curve, Sequence[tuple[float, float, int]]]], width: float) -> Figure:
    curves, phone = [curve for curve, _ in groups], width <= PHONE
    side = min(width - 60, 360.0)
    width, top = side + 60, _legend_height(curves, side + 60) + 30
    figure, axes = _frame(width, top + side + 44, left=46, right=14, top=top, bottom=44)
    _add_legend(figure, curves)
    low, high = _range(v for _, bins in groups for guess, actual, _ in bins for v in (guess, actual))
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.grid(axis="x", visible=False)
    axes.plot((low, high), (low, high), color=SOFT, linewidth=1, dashes=(1, 3))
    largest = max(count for _, bins in groups for *_, count in bins)
    for curve, bins in groups:
        for guess, actual, count in bins:
            note = f"{curve.name}: predicted {guess:.2f}, measured {actual:.2f}, {count} drafts"
            size = (3 if phone else 5) + 7 * math.sqrt(count / largest)
            _mark(axes, guess, actual, curve, note, markersize=size, alpha=0.75)
    _set_ticks(axes.xaxis, 5)
    _set_ticks(axes.yaxis, 5)
    _label(figure, axes, "predicted improvement", "measured improvement")
    return figure


# -------------------------------------------------------------------------------------------------------- what all have
def _frame(width: float, height: float, *, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """An empty chart with margins, all in pixels."""
    from matplotlib.figure import Figure

    figure = Figure((width / DPI, height / DPI), frameon=False)
    inner = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure, figure.add_axes(inner, facecolor="none")


def _mark(axes: Axes, x: float, y: float, curve: Curve, note: str, **how: Any) -> None:
    axes.plot(x, y, **{**curve.style, "linestyle": "", "gid": NOTE + note, "clip_on": False, **how})


def _columns(curves: Sequence[Curve], width: float) -> int:
    return max(1, int(width / (54 + LETTER * max(len(curve.name) for curve in curves))))


def _legend_height(curves: Sequence[Curve], width: float) -> float:
    return LINE * math.ceil(len(curves) / _columns(curves, width))


def _add_legend(figure: Figure, curves: Sequence[Curve]) -> None:
    """Above the axes, in as many columns as there is room for."""
    from matplotlib.lines import Line2D

    width = figure.get_figwidth() * DPI
    figure.legend(
        [Line2D([], [], **curve.style) for curve in curves],
        [_shorten(curve.name, width - 54) for curve in curves],
        loc="upper left",
        ncols=_columns(curves, width),
        borderpad=0,
        borderaxespad=0,
        handlelength=26 / 12,
    )


def _label(figure: Figure, axes: Axes, x_label: str, y_label: str = "") -> None:
    """Upright and beside the ends of the axes."""
    axes.annotate(x_label, (1, 0), (0, -36), "axes fraction", "offset pixels", color=SOFT, ha="right")
    axes.annotate(y_label, (0, 1), (0, 10), ("figure fraction", "axes fraction"), "offset pixels", color=SOFT)


def _set_ticks(axis: Any, most: int, *, tokens: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _count(value) if tokens else _share(value)))


def _range(values: Iterable[float]) -> tuple[float, float]:
    """A little more than the values span, and never nothing."""
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(0.04, (high - low) * 0.08)
    floor = 0.0 if low >= 0 else -math.inf
    ceiling = 1.0 if high <= 1 else math.inf
    return max(floor, low - room), min(ceiling, high + room)


def _color(position: int) -> str:
    return PALETTE["light"][name_series(position)]


def _share(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _count(tokens: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.0f}"


def _shorten(text: str, room: float) -> str:
    """So that it fits into so many pixels."""
    letters = int(room / LETTER + 1e-6)
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
