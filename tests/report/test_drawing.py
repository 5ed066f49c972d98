"""A chart as SVG: it takes its colours from the page, has no names or styles that clash with another chart's, and is
the same each time."""

import re
from xml.etree import ElementTree

import pytest
from helpers.invented_comparison import HOSTILE

from herl_bench.report import charts
from herl_bench.report.charts import Curve, Dot
from herl_bench.report.drawing import to_png, to_svg
from herl_bench.report.palette import PALETTE

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
    "calibration": charts.plot_calibration(BINS, label="what it shows"),
}
each = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)


def parse(chart, width=920):
    return ElementTree.fromstring(to_svg(chart, width, "wide"))


@each
def test_a_chart_has_roles_for_colours_and_words_for_who_does_not_see_it(chart):
    root = parse(chart)
    assert (root.get("role"), root.get("aria-label")) == ("img", "what it shows")
    allowed = {
        *("class", "d", "x", "y", "transform", "text-anchor", "font-weight"),
        *("fill-opacity", "stroke-width", "stroke-dasharray"),
    }
    for element in list(root.iter())[1:]:
        assert element.tag in ("path", "text", "title")
        assert set(element.attrib) <= allowed
        if element.tag != "title":
            kind, role = element.get("class").split()
            assert kind in "lf"
            assert role in PALETTE["light"]


@each
def test_a_chart_is_the_same_each_time_and_fits_its_width(chart):
    for width in (340, 920):
        svg = to_svg(chart, width, "wide")
        assert svg == to_svg(chart, width, "wide")
        across = float(ElementTree.fromstring(svg).get("width"))
        assert across <= width
        assert max(float(x) for x in re.findall(r'<text[^>]* x="([-\d.]+)"', svg)) <= across


def test_a_point_says_its_numbers_and_a_series_is_told_by_more_than_its_colour():
    root = parse(CHARTS["curves"])
    notes = [title.text for title in root.iter("title")]
    assert "herl: 0.700 at 40,000 tokens" in notes
    lines = [p for p in root.iter("path") if p.get("class").startswith("l series") and p.get("stroke-width") == "2.2"]
    assert len({line.get("stroke-dasharray") for line in lines}) == 3
    marks = {mark.get("class"): mark.get("d") for mark in root.iter("path") if mark.find("title") is not None}
    assert len(set(marks.values())) == 3


def test_the_ring_where_it_started_is_no_series():
    notes = {p.find("title").text: p.get("class") for p in parse(CHARTS["scores"]).iter("path") if len(p)}
    assert notes["herl before training: 0.350"] == "l soft"
    assert notes["herl: 0.600"] == "f series1"


def test_a_criterion_that_applied_to_nothing_says_so():
    assert "applied to nothing" in [text.text for text in parse(CHARTS["criteria"]).iter("text")]


@pytest.mark.parametrize("words", [*HOSTILE, "$x_1^2$", "漢字と絵文字 🎉", "_hidden", ""])
def test_whatever_a_series_is_called_is_words(words, tmp_path):
    dots = [Dot(words, 0, 0.5, 0.4, 0.6, 0.3)]
    chart = charts.plot_scores(dots, x_label=words, label=words)
    parse(charts.plot_curves([Curve(words, 0, POINTS)], y_label=words, label=words))
    root = parse(chart)
    assert {element.tag for element in root.iter()} <= {"svg", "path", "text", "title"}
    if words == "$x_1^2$":
        assert words in [text.text for text in root.iter("text")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u2029\u202a-\u202e\u2066-\u2069]", to_svg(chart, 340, "narrow"))
    to_png(charts.plot_scores(dots, x_label="x", label="y"), tmp_path / "chart.png")


def test_each_chart_leaves_room_for_a_long_legend_on_a_phone():
    curves = [
        Curve(f"{name} with a name that is much too long for a phone", place, POINTS)
        for place, name in enumerate(NAMES)
    ]
    chart = charts.plot_curves(curves, y_label="y", label="what it shows")
    short = parse(CHARTS["curves"], 340)
    assert float(parse(chart, 340).get("height")) > float(short.get("height"))
    assert sum((text.text or "").endswith("…") for text in parse(chart, 340).iter("text")) == 3
