"""The charts of a report, as drawings: learning curves with bands, scores with intervals, criteria over training,
calibration.

Every function takes its numbers and a width in pixels, so that a page can hold one chart for a wide screen and one for
a phone instead of a shrunk one. Values are shares in [0, 1] unless said. A series is told by colour, dash, mark and
name.

Left out: interaction. What a point says under the pointer is in the tables of the page too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from herl_bench.report.drawing import DASHES, MARKS, Box, Drawing, Line, Mark, Shape, Words, series

TEXT = 12.0
LETTER = 6.9  # mean advance of a letter at that size, an upper estimate
NARROW = 480


@dataclass(frozen=True)
class Curve:
    """One method's curve over generated tokens: (tokens, mean, low, high). position: the method's place among all,
    which gives its colour, dash and mark; look: another place's dash and mark."""

    name: str
    position: int
    points: Sequence[tuple[float, float, float, float]]
    look: int | None = None

    @property
    def dash(self) -> Sequence[float]:
        return DASHES[(self.position if self.look is None else self.look) % len(DASHES)]

    @property
    def mark(self) -> str:
        return MARKS[(self.position if self.look is None else self.look) % len(MARKS)]


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
def learning_curves(
    curves: Sequence[Curve], width: float, *, y_label: str, label: str, target: float | None = None
) -> Drawing:
    """Lines of the mean with a band from lowest to highest, against generated tokens. target: a level to reach, as a
    thin line."""
    shapes: list[Shape] = []
    top = _legend(shapes, curves, width) + 34
    left, right, height = 46.0, width - 12, top + (250 if width > NARROW else 200)
    shown = [v for c in curves for _, _, low, high in c.points for v in (low, high)] + (
        [] if target is None else [target]
    )
    low, high = _range(shown)
    most = max((c.points[-1][0] for c in curves if c.points), default=1.0) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / most, height - (height - top) * (y - low) / (high - low)

    shapes.append(Words(0, top - 12, y_label, "soft"))
    for tick in _ticks(low, high, 5):
        shapes += [
            Line([at(0, tick), at(most, tick)], "grid"),
            Words(left - 8, at(0, tick)[1] + 4, _share(tick), "soft", anchor="end"),
        ]
    for tick in _ticks(0, most, 6 if width > NARROW else 4):
        shapes.append(
            Words(
                at(tick, low)[0],
                height + 18,
                _tokens(tick),
                "soft",
                anchor="middle" if 0 < tick < most * 0.97 else "start" if not tick else "end",
            )
        )
    shapes.append(Words(right, height + 34, "generated tokens", "soft", anchor="end"))
    if target is not None:
        shapes += [
            Line([at(0, target), at(most, target)], "soft", dash=(1, 3)),
            Words(at(0, target)[0] + 2, at(0, target)[1] - 5, "target", "soft", 11),
        ]
    for curve in curves:
        if any(high > low for _, _, low, high in curve.points):
            edge = [at(x, high) for x, _, _, high in curve.points] + [
                at(x, low) for x, _, low, _ in reversed(curve.points)
            ]
            shapes.append(Line(edge, series(curve.position), fill=0.16))
    for curve in curves:
        shapes.append(Line([at(x, mean) for x, mean, _, _ in curve.points], series(curve.position), 2.2, curve.dash))
        every = max(1, len(curve.points) // 8)
        for x, mean, _, _ in [*curve.points[every - 1 : -1 : every], curve.points[-1]]:
            shapes.append(
                Mark(
                    *at(x, mean),
                    curve.mark,
                    series(curve.position),
                    note=f"{curve.name}: {mean:.3f} at {x:,.0f} tokens",
                )
            )
    return Drawing(width, height + 42, label, shapes)


def _legend(shapes: list[Shape], curves: Sequence[Curve], width: float) -> float:
    """A row of names, broken where the width ends; gives where it ends."""
    x, y = 0.0, 12.0
    for curve in curves:
        wide = 34 + LETTER * len(curve.name) + 20
        if x and x + wide > width:
            x, y = 0.0, y + 20
        role = series(curve.position)
        shapes += [Line([(x, y - 4), (x + 26, y - 4)], role, 2.2, curve.dash), Mark(x + 13, y - 4, curve.mark, role)]
        shapes.append(Words(x + 34, y, _cut(curve.name, _letters(width - 34))))
        x += wide
    return y


# ---------------------------------------------------------------------------------------------------- scores, intervals
def scores(dots: Sequence[Dot], width: float, *, x_label: str, label: str) -> Drawing:
    """A row per method: its score with its interval, and a ring where it started."""
    low, high = _range([v for d in dots for v in (d.value, d.low, d.high, d.before) if v is not None])
    return _rows(dots, width, low, high, x_label, label, number="{:.3f}")


def differences(dots: Sequence[Dot], width: float, *, x_label: str, label: str, sides: tuple[str, str]) -> Drawing:
    """A row per comparison: a difference with its interval, against a line at 0. sides: what lies left and right of it,
    in words."""
    ends = [0.0, *(v for d in dots for v in (d.value, d.low, d.high) if v is not None)]
    room = max(0.02, (max(ends) - min(ends)) * 0.1)
    low, high = min(ends) - room, max(ends) + room
    low, high = min(low, -0.3 * high), max(high, -0.3 * low)  # so that the words stand beside the line
    return _rows(dots, width, low, high, x_label, label, number="{:+.3f}", sides=sides)


def _rows(
    dots: Sequence[Dot],
    width: float,
    low: float,
    high: float,
    x_label: str,
    label: str,
    *,
    number: str,
    sides: tuple[str, str] | None = None,
) -> Drawing:
    narrow = width <= NARROW
    left = 0.0 if narrow else min(240.0, 20 + LETTER * max((len(d.name) for d in dots), default=0))
    row, top = 46.0 if narrow else 34.0, 0.0 if sides is None else 20.0
    right, height = width - 58, top + row * len(dots) + 8

    def at(x: float) -> float:
        return left + 10 + (right - left - 20) * (x - low) / (high - low)

    shapes: list[Shape] = []
    for tick in _ticks(low, high, 4 if narrow else 6):
        shapes += [Line([(at(tick), top + 2), (at(tick), height)], "grid")]
        shapes.append(Words(at(tick), height + 16, _share(tick), "soft", anchor="middle"))
    shapes.append(Words(right, height + 32, x_label, "soft", anchor="end"))
    if sides is not None:
        shapes.append(Line([(at(0), 0), (at(0), height)], "ink", 1.4))
        shapes += [
            Words(at(0) - 8, 11, f"← {sides[0]}", "soft", anchor="end"),
            Words(at(0) + 8, 11, f"{sides[1]} →", "soft"),
        ]
    for place, dot in enumerate(dots):
        y, role = top + row * place + row / 2 + (10 if narrow else 2), series(dot.position)
        room = width if narrow else left - 12
        shapes.append(Words(0, y - 14 if narrow else y + 4, _cut(dot.name, _letters(room)), bold=True))
        if dot.before is not None:
            shapes.append(
                Mark(at(dot.before), y, "ring", "soft", 8, note=f"{dot.name} before training: {dot.before:.3f}")
            )
        if dot.low is not None and dot.high is not None:
            shapes += [Line([(at(dot.low), y), (at(dot.high), y)], role, 2.2)]
            shapes += [Line([(at(end), y - 5), (at(end), y + 5)], role, 2.2) for end in (dot.low, dot.high)]
        told = number.format(dot.value).replace("-", "−")
        shapes.append(Mark(at(dot.value), y, MARKS[dot.position % len(MARKS)], role, 10, note=f"{dot.name}: {told}"))
        shapes.append(Words(width, y + 4, told, anchor="end", bold=True))
    return Drawing(width, height + 40, label, shapes)


# ------------------------------------------------------------------------------------------------- criteria in training
def heat_map(
    rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], width: float, *, position: int, label: str
) -> Drawing:
    """A strip per criterion over training, darker where more responses met it; the first and the last rate in figures.

    rows: (criterion, [(tokens, pass rate), …]).
    """
    narrow = width <= NARROW
    left = 44.0 if narrow else 48 + min(240.0, LETTER * max((len(name) for name, _ in rows), default=0))
    row, cell = (42.0, 20.0) if narrow else (26.0, 22.0)
    right = width - 44
    shapes: list[Shape] = []
    most = max((points[-1][0] for _, points in rows if points), default=0.0)
    for number, (name, points) in enumerate(rows):
        y = row * number + (18 if narrow else 0)
        if narrow:
            shapes.append(Words(0, y - 4, _cut(name, _letters(width))))
        else:
            shapes.append(Words(0, y + 15, _cut(name, _letters(left - 48))))
        if not points:
            shapes.append(Words(left, y + 15, "applied to nothing", "soft"))
            continue
        binned = _binned(points, 12 if narrow else 28)
        step = (right - left) / len(binned)
        for i, (tokens, rate) in enumerate(binned):
            note = f"{name}: {rate:.2f} at {tokens:,.0f} tokens"
            shapes.append(Box(left + step * i, y, max(step - 1, 0.5), cell, series(position), 0.06 + 0.94 * rate, note))
        shapes.append(Words(left - 8, y + 15, _share(points[0][1]), "soft", anchor="end"))
        shapes.append(Words(right + 8, y + 15, _share(points[-1][1]), bold=True))
    height = row * len(rows) + 8
    shapes += [
        Words(left, height + 10, "0", "soft"),
        Words(right, height + 10, f"{_tokens(most)} tokens", "soft", anchor="end"),
    ]
    return Drawing(width, height + 18, label, shapes)


def _binned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points: means of neighbours."""
    size = math.ceil(len(points) / most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(v for _, v in group) / len(group)) for group in groups]


# ---------------------------------------------------------------------------------------------------------- calibration
def calibration(
    groups: Sequence[tuple[str, int, Sequence[tuple[float, float, int]]]], width: float, *, label: str
) -> Drawing:
    """Predicted against measured improvement; the line is where both agree, a mark's area is the number of drafts
    behind it.

    groups: (method, position, [(mean predicted, mean measured, count), …]). Improvements may be negative.
    """
    shapes: list[Shape] = []
    left, side = 46.0, min(width - 60, 360.0)
    wide, width = width > NARROW, left + side + 14
    top = _legend(shapes, [Curve(name, position, ()) for name, position, _ in groups], width) + 34
    low, high = _range([v for _, _, bins in groups for p, m, _ in bins for v in (p, m)])

    def at(x: float, y: float) -> tuple[float, float]:
        return left + side * (x - low) / (high - low), top + side - side * (y - low) / (high - low)

    shapes.append(Words(0, top - 12, "measured improvement", "soft"))
    for tick in _ticks(low, high, 5):
        shapes += [
            Line([at(low, tick), at(high, tick)], "grid"),
            Words(left - 8, at(low, tick)[1] + 4, _share(tick), "soft", anchor="end"),
        ]
        shapes.append(Words(at(tick, low)[0], top + side + 18, _share(tick), "soft", anchor="middle"))
    shapes.append(Words(left + side, top + side + 36, "predicted improvement", "soft", anchor="end"))
    shapes.append(Line([at(low, low), at(high, high)], "soft", dash=(1, 3)))
    largest = max((count for _, _, bins in groups for _, _, count in bins), default=1)
    for name, position, bins in groups:
        for predicted, measured, count in bins:
            note = f"{name}: predicted {predicted:.2f}, measured {measured:.2f}, {count} drafts"
            size = (5 if wide else 3) + 7 * math.sqrt(count / largest)
            shapes.append(
                Mark(*at(predicted, measured), MARKS[position % len(MARKS)], series(position), size, 0.75, note)
            )
    return Drawing(width, top + side + 44, label, shapes)


# ----------------------------------------------------------------------------------------------------------------- axes
def _range(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values span, and never nothing."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.04, (high - low) * 0.08)
    floor = 0.0 if low >= 0 else -math.inf
    ceiling = 1.0 if high <= 1 else math.inf
    return max(floor, low - room), min(ceiling, high + room)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within the bounds, at most about so many."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _share(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _tokens(value: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _letters(room: float) -> int:
    """That fit into so many pixels."""
    return int(room / LETTER + 1e-6)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"
