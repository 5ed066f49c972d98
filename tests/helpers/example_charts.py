"""One chart of each kind, and how a test reads it."""

from xml.etree import ElementTree

from herl_bench.report import charts
from herl_bench.report.charts import Curve, Dot
from herl_bench.report.drawing import to_svg

NAMES = ("ppo", "herl", "grpo")
POINTS = [(t, 0.3 + t / 1e5, 0.25 + t / 1e5, 0.4 + t / 1e5) for t in range(2_000, 40_001, 2_000)]
CURVES = [Curve(name, place, POINTS[place:]) for place, name in enumerate(NAMES)]
DOTS = [Dot(name, place, 0.5 + 0.1 * place, 0.4, 0.8, 0.35) for place, name in enumerate(NAMES)]
BINS = [(curve, [(0.1, 0.2, 40), (0.3, -0.1, 3)]) for curve in CURVES]
STRIPS = [("arithmetic", [(2_000, 0.1), (4_000, 0.9)]), ("concise", [])]
CHARTS = {
    "curves": charts.plot_curves(CURVES, y_label="exact match", label="what it shows", target=0.4),
    "scores": charts.plot_scores(DOTS, x_label="exact match", label="what it shows"),
    "differences": charts.plot_differences(
        DOTS[1:], x_label="to ppo", label="what it shows", sides=("worse", "better")
    ),
    "criteria": charts.plot_criteria(STRIPS, position=1, label="what it shows"),
    "line": charts.plot_line(
        [(0.1 * place, dot) for place, dot in enumerate(DOTS)],
        [(x, x, x - 0.1, x + 0.1) for x in (0.0, 0.1, 0.2)],
        x_label="before",
        y_label="after",
        label="what it shows",
    ),
    "calibration": charts.plot_calibration(BINS, label="what it shows"),
}


def parse(chart, width=920):
    return ElementTree.fromstring(to_svg(chart, width, "wide"))
