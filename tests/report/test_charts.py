"""What stands in a chart: numbers under the pointer, marks that tell series apart, names that fit."""

from helpers.example_charts import CHARTS, NAMES, POINTS, parse

from herl_bench.report import charts
from herl_bench.report.charts import Curve


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


def test_beside_a_line_the_first_series_has_no_names():
    root = parse(CHARTS["line"])
    assert {"herl: +0.600 at +0.100", "ppo: +0.500 at +0.000"} <= {title.text for title in root.iter("title")}
    words = {text.text for text in root.iter("text")}
    assert "herl" in words
    assert "ppo" not in words


def test_a_criterion_that_applied_to_nothing_says_so():
    assert "applied to nothing" in [text.text for text in parse(CHARTS["criteria"]).iter("text")]


def test_each_chart_leaves_room_for_a_long_legend_on_a_phone():
    curves = [
        Curve(f"{name} with a name that is much too long for a phone", place, POINTS)
        for place, name in enumerate(NAMES)
    ]
    chart = charts.plot_curves(curves, y_label="y", label="what it shows")
    short = parse(CHARTS["curves"], 340)
    assert float(parse(chart, 340).get("height")) > float(short.get("height"))
    assert sum((text.text or "").endswith("…") for text in parse(chart, 340).iter("text")) == 3
