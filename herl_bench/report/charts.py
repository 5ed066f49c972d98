"""The charts of a report: learning curves with bands, scores with intervals, criteria over training, calibration.

Every function takes its numbers and words and gives a `Chart`, which is drawn for a wide screen and for a phone instead
of shrunk. Values are shares in [0, 1] unless said. A series is told by colour, dash, mark and name.

Left out: interaction. What a point says under the pointer is in the tables of the page too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from herl_bench.report.drawing import DPI, NOTE, Chart
from herl_bench.report.page import format_number
from herl_bench.report.palette import DASHES, MARKS, PALETTE, name_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER = 6.9
"""Pixels that a letter is wide, an upper estimate of the mean."""
PHONE = 480
"""Pixels of width up to which a chart is drawn for a phone."""
_format_share = partial(format_number, digits=2)
LINE = 20
"""Pixels from one line of words to the next."""
Strip = tuple[str, Sequence[tuple[float, float]]]
"""A criterion and its (tokens, pass rate)."""
Bins = Sequence[tuple[float, float, int]]
"""Each (mean predicted, mean measured, count)."""
Band = Sequence[tuple[float, float, float, float]]
"""Each (x, mean, low, high)."""
INK, SOFT = PALETTE["light"]["ink"], PALETTE["light"]["soft"]


@dataclass(frozen=True)
class Curve:
    """One method's curve over generated tokens: (tokens, mean, low, high). position: the method's place among all,
    which gives its colour, dash and mark; look: another place's dash and mark."""

    name: str
    position: int
    points: Band
    look: int | None = None

    @property
    def style(self) -> dict[str, Any]:
        look = self.position if self.look is None else self.look
        line = (0, dash) if (dash := DASHES[look % len(DASHES)]) else "-"
        return {"color": _pick_color(self.position), "marker": MARKS[look % len(MARKS)], "linestyle": line}


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
    """Lines of the mean with a band from lowest to highest. target: a level to reach, as a thin line."""
    return Chart(label, partial(_draw_curves, curves, y_label, target))


def _draw_curves(curves: Sequence[Curve], y_label: str, target: float | None, width: float) -> Axes:
    axes = _frame(width, 250 if width > PHONE else 200, top=_measure_legend(curves, width) + 30, bottom=42)
    _add_legend(axes, curves, width)
    for curve in curves:
        tokens, means, lows, highs = zip(*curve.points, strict=True)
        if highs != lows:
            axes.fill_between(tokens, lows, highs, color=curve.style["color"], alpha=0.16, linewidth=0)
        axes.plot(tokens, means, **{**curve.style, "marker": ""})
        every = max(1, len(means) // 8)
        for x, mean, _, _ in [*curve.points[every - 1 : -1 : every], curve.points[-1]]:
            _mark(axes, x, mean, curve, f"{curve.name}: {mean:.3f} at {x:,.0f} tokens")
    shown = [v for curve in curves for *_, low, high in curve.points for v in (low, high)]
    if target is not None:
        shown.append(target)
        axes.axhline(target, color=SOFT, linewidth=1, dashes=(1, 3))
        axes.annotate("target", (0, target), (2, 5), textcoords="offset points", color=SOFT)
    axes.set(xlim=(0, max(curve.points[-1][0] for curve in curves) or 1.0), ylim=_widen(shown))
    axes.grid(axis="x", visible=False)
    _set_ticks(axes.yaxis, 5, _format_share)
    _set_ticks(axes.xaxis, 6 if width > PHONE else 4, _format_count)
    _label(axes, "generated tokens", y_label)
    return axes


# ---------------------------------------------------------------------------------------------------- scores, intervals
def plot_scores(dots: Sequence[Dot], *, x_label: str, label: str) -> Chart:
    """A row per method: its score with its interval, and a ring where it started."""
    span = _widen([v for dot in dots for v in (dot.value, dot.low, dot.high, dot.before) if v is not None])
    return Chart(label, partial(_draw_rows, dots, span, x_label, "{:.3f}", None))


def plot_differences(dots: Sequence[Dot], *, x_label: str, label: str, sides: tuple[str, str]) -> Chart:
    """A row per comparison: a difference with its interval around 0. sides: what lies left and right, in words."""
    ends = [0.0, *(v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None)]
    room = max(0.02, (max(ends) - min(ends)) * 0.1)
    low, high = min(ends) - room, max(ends) + room
    low, high = min(low, -0.3 * high), max(high, -0.3 * low)  # so that the words stand beside the line
    return Chart(label, partial(_draw_rows, dots, (low, high), x_label, "{:+.3f}", sides))


def _draw_rows(
    dots: Sequence[Dot], span: tuple[float, float], x_label: str, form: str, sides: tuple[str, str] | None, width: float
) -> Axes:
    phone = width <= PHONE
    left = 0.0 if phone else min(240.0, LINE + LETTER * max(len(dot.name) for dot in dots))
    row, top = 46 if phone else 34, LINE if sides else 0
    axes = _frame(width, row * len(dots) + 8, left=left + 10, right=68, top=top, bottom=40)
    axes.set(xlim=span, ylim=(len(dots) - 0.4, -0.6))
    axes.yaxis.set_visible(False)
    for place, dot in enumerate(dots):
        y = place + (0.2 if phone else 0)
        _write(axes, _shorten(dot.name, width if phone else left - 12), 0, y - 0.45 if phone else y, weight="bold")
        _draw_dot(axes, dot, y, form.format(dot.value).replace("-", "−"), width)
    _set_ticks(axes.xaxis, 4 if phone else 6, _format_share)
    _label(axes, x_label)
    if sides is not None:
        axes.axvline(0, color=INK, linewidth=1.4)
        for words, offset, side in ((f"← {sides[0]}", -8, "right"), (f"{sides[1]} →", 8, "left")):
            axes.annotate(words, (0, 1), (offset, 4), ("data", "axes fraction"), "offset points", color=SOFT, ha=side)
    return axes


def _draw_dot(axes: Axes, dot: Dot, y: float, number: str, width: float) -> None:
    color = _pick_color(dot.position)
    if dot.before is not None:
        note = f"{NOTE}{dot.name} before training: {dot.before:.3f}"
        (ring,) = axes.plot(dot.before, y, "o", color=SOFT, gid=note, markersize=8, fillstyle="none")
        ring.set_markeredgewidth(1.5)
    if dot.low is not None and dot.high is not None:
        ends = ((dot.low, dot.high), (y, y))
        axes.plot(*ends, color=color)
        axes.plot(*ends, "|", color=color, markersize=10, markeredgewidth=2.2)
    mark = MARKS[dot.position % len(MARKS)]
    axes.plot(dot.value, y, mark, color=color, markersize=10, gid=f"{NOTE}{dot.name}: {number}")
    _write(axes, number, width, y, ha="right", weight="bold")


# ------------------------------------------------------------------------------------------------- criteria in training
def plot_criteria(strips: Sequence[Strip], *, position: int, label: str) -> Chart:
    """A strip per criterion over training, darker where more responses met it; the first and last rate in figures."""
    return Chart(label, partial(_draw_criteria, strips, position))


def _draw_criteria(strips: Sequence[Strip], position: int, width: float) -> Axes:
    phone = width <= PHONE
    left = 44.0 if phone else 48 + min(240.0, LETTER * max(len(name) for name, _ in strips))
    row, height = (42, 20 / 42) if phone else (26, 22 / 26)
    axes = _frame(width, row * len(strips), left=left, right=44, top=0, bottom=26)
    axes.set(xlim=(0, 1), ylim=(len(strips) - 0.5, -0.5))
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    for place, (name, points) in enumerate(strips):
        y = place + (0.2 if phone else 0)
        _write(axes, _shorten(name, width if phone else left - 48), 0, y - 0.45 if phone else y)
        if not points:
            _write(axes, "applied to nothing", left, y, color=SOFT)
            continue
        groups = _average_neighbours(points, 12 if phone else 28)
        for i, (tokens, rate) in enumerate(groups):
            note = f"{NOTE}{name}: {rate:.2f} at {tokens:,.0f} tokens"
            color, share = _pick_color(position), 1 / len(groups)
            axes.barh(y, share - 0.0015, height, i * share, color=color, alpha=0.06 + 0.94 * rate, gid=note)
        _write(axes, _format_share(points[0][1]), left - 8, y, color=SOFT, ha="right")
        _write(axes, _format_share(points[-1][1]), width - 36, y, weight="bold")
    most = max((points[-1][0] for _, points in strips if points), default=0.0)
    for x, words, side in ((0, "0", "left"), (1, f"{_format_count(most)} tokens", "right")):
        axes.annotate(words, (x, 0), (0, -16), "axes fraction", "offset points", color=SOFT, ha=side)
    return axes


def _average_neighbours(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points."""
    size = math.ceil(len(points) / most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(v for _, v in group) / len(group)) for group in groups]


# ---------------------------------------------------------------------------------------------------------- calibration
def plot_calibration(groups: Sequence[tuple[Curve, Bins]], *, label: str) -> Chart:
    """Predicted against measured improvement; the line is where both agree, a mark's area is the number of drafts
    behind it. groups: each method, as a curve without points. Improvements may be negative."""
    return Chart(label, partial(_draw_calibration, groups))


def _draw_calibration(groups: Sequence[tuple[Curve, Bins]], width: float) -> Axes:
    curves, smallest = [curve for curve, _ in groups], 3 if width <= PHONE else 5
    side = min(width - 60, 360.0)
    axes = _frame(side + 58, side, top=_measure_legend(curves, side + 58) + 30, bottom=44)
    _add_legend(axes, curves, side + 58)
    low, high = _widen([v for _, bins in groups for guess, actual, _ in bins for v in (guess, actual)])
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.grid(axis="x", visible=False)
    axes.plot((low, high), (low, high), color=SOFT, linewidth=1, dashes=(1, 3))
    largest = max(count for _, bins in groups for *_, count in bins)
    for curve, bins in groups:
        for guess, actual, count in bins:
            note = f"{curve.name}: predicted {guess:.2f}, measured {actual:.2f}, {count} drafts"
            _mark(axes, guess, actual, curve, note, markersize=smallest + 7 * math.sqrt(count / largest), alpha=0.75)
    _set_ticks(axes.xaxis, 5, _format_share)
    _set_ticks(axes.yaxis, 5, _format_share)
    _label(axes, "predicted improvement", "measured improvement")
    return axes


# ------------------------------------------------------------------------------------------ a line and what it rests on
def plot_line(dots: Sequence[tuple[float, Dot]], band: Band, *, x_label: str, y_label: str, label: str) -> Chart:
    """Values with their intervals against x, and a line through them with its band. dots: each
    with its x; those of another position than 0 are drawn last, with their names."""
    return Chart(label, partial(_draw_line, dots, band, x_label, y_label))


def _draw_line(dots: Sequence[tuple[float, Dot]], band: Band, x_label: str, y_label: str, width: float) -> Axes:
    axes = _frame(width, 320 if width > PHONE else 240, top=34, bottom=42)
    xs, means, lows, highs = zip(*band, strict=True)
    axes.fill_between(xs, lows, highs, color=SOFT, alpha=0.16, linewidth=0)
    axes.plot(xs, means, color=INK, linewidth=1.4)
    axes.axhline(0, color=SOFT, linewidth=1, dashes=(1, 3))
    for x, dot in sorted(dots, key=lambda one: one[1].position):
        color, mark = _pick_color(dot.position), MARKS[dot.position % len(MARKS)]
        if dot.low is not None and dot.high is not None:
            axes.plot((x, x), (dot.low, dot.high), color=color, linewidth=1.2, alpha=0.6)
        axes.plot(x, dot.value, mark, color=color, markersize=8, gid=f"{NOTE}{dot.name}: {dot.value:+.3f} at {x:+.3f}")
        if dot.position:
            axes.annotate(dot.name, (x, dot.value), (8, 6), textcoords="offset points", weight="bold")
    shown = [v for _, dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    room = 0.02 * (max(xs) - min(xs))
    axes.set(xlim=(min(xs) - room, max(xs) + room), ylim=_widen([0.0, *shown, *lows, *highs]))
    _set_ticks(axes.yaxis, 6, _format_share)
    _set_ticks(axes.xaxis, 6 if width > PHONE else 4, _format_share)
    _label(axes, x_label, y_label)
    return axes


# -------------------------------------------------------------------------------------------------------- what all have
def _frame(width: float, height: float, *, left: float = 46, right: float = 12, top: float, bottom: float) -> Axes:
    """Empty axes of this height in a figure of this width, with margins, all in pixels."""
    from matplotlib.figure import Figure

    whole = height + top + bottom
    inner = (left / width, bottom / whole, (width - left - right) / width, height / whole)
    return Figure((width / DPI, whole / DPI)).add_axes(inner)


def _write(axes: Axes, words: str, x: float, y: float, **how: Any) -> None:
    """x: pixels from the chart's left; y: as the data."""
    axes.annotate(words, (x - axes.bbox.x0, y), xycoords=("axes points", "data"), va="center_baseline", **how)


def _mark(axes: Axes, x: float, y: float, curve: Curve, note: str, **how: Any) -> None:
    axes.plot(x, y, **{**curve.style, "linestyle": "", "gid": NOTE + note, "clip_on": False, **how})


def _label(axes: Axes, x_label: str, y_label: str = "") -> None:
    """Upright and beside the ends of the axes."""
    axes.annotate(x_label, (1, 0), (0, -36), "axes fraction", "offset points", color=SOFT, ha="right")
    axes.annotate(y_label, (0, 1), (-axes.bbox.x0, 10), "axes fraction", "offset points", color=SOFT)


def _count_columns(curves: Sequence[Curve], width: float) -> int:
    """Of the legend, as many as there is room for."""
    return max(1, int(width / (54 + LETTER * max(len(curve.name) for curve in curves))))


def _measure_legend(curves: Sequence[Curve], width: float) -> float:
    return LINE * math.ceil(len(curves) / _count_columns(curves, width))


def _add_legend(axes: Axes, curves: Sequence[Curve], width: float) -> None:
    """Above the axes, from the chart's left top corner."""
    from matplotlib.lines import Line2D

    corner = (-axes.bbox.x0 / axes.bbox.width, 1 + (_measure_legend(curves, width) + 30) / axes.bbox.height)
    lines = [Line2D([], [], **curve.style) for curve in curves]
    names, columns = [_shorten(curve.name, width - 54) for curve in curves], _count_columns(curves, width)
    axes.legend(lines, names, loc="upper left", bbox_to_anchor=corner, ncols=columns)


def _set_ticks(axis: Any, most: int, form: Callable[[float], str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def _widen(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values span, and never nothing; within [0, 1] where they are."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.04, (high - low) * 0.08)
    return (max(0.0, low - room) if low >= 0 else low - room), (min(1.0, high + room) if high <= 1 else high + room)


def _pick_color(position: int) -> str:
    return PALETTE["light"][name_series(position)]


def _format_count(tokens: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.0f}"


def _shorten(text: str, room: float) -> str:
    """So that it fits into so many pixels."""
    letters = int(room / LETTER + 1e-6)
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
