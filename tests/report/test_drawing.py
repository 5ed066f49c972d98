"""A chart as SVG: it takes its colours from the page, has no names or styles that clash with another chart's, and is
the same each time."""

import re
from xml.etree import ElementTree

import pytest
from helpers.example_charts import CHARTS, POINTS, parse
from helpers.invented_comparison import HOSTILE

from herl_bench.report import charts
from herl_bench.report.charts import Curve, Dot
from herl_bench.report.drawing import to_png, to_svg
from herl_bench.report.palette import PALETTE

each = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)


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
