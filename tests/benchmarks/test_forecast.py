"""The study's forecast: the line, and what is said of cells that it was not fitted to. The truth is known."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herl_bench.comparison.forecast import StudyCell, read_forecast

SCIENCE = Path(__file__).parents[2] / "benchmarks" / "science"
sys.path.insert(0, str(SCIENCE))
try:
    import forecast
finally:
    sys.path.remove(str(SCIENCE))


def simulate(rng: np.random.Generator, count: int, slope: float, spread: float) -> list[StudyCell]:
    """Gains of -0.01 + slope gap and a normal deviation, measured with three or five seeds, whose noise is only known
    from them."""
    gap, noise = rng.uniform(0, 0.5, count), rng.uniform(0.01, 0.04, count)
    gain = -0.01 + slope * gap + spread * rng.standard_normal(count) + noise * rng.standard_normal(count)
    freedom = rng.choice([2, 4], count)
    known = noise * np.sqrt(rng.chisquare(freedom) / freedom)
    return [StudyCell(str(i), str(i), *map(float, cell)) for i, cell in enumerate(zip(gap, gain, known, strict=True))]


def test_without_noise_the_line_is_the_truth():
    cells = [StudyCell(str(gap), str(gap), gap, 0.6 * gap - 0.01, 0.0) for gap in (0.0, 0.1, 0.2, 0.4, 0.5)]
    line = forecast.fit_line(cells)
    assert (line.intercept, line.slope, line.spread) == pytest.approx((-0.01, 0.6, 0.0), abs=1e-9)
    made = forecast.make_forecast(cells, "100,000 tokens", "1")
    assert made.r2 == pytest.approx(1)
    assert made.covered == 1
    assert line.predict(0.3)[0] == pytest.approx(0.17)


def test_a_noisy_cell_weighs_less():
    cells = [
        StudyCell("a", "a", 0.0, 0.0, 0.01),
        StudyCell("b", "b", 0.5, 0.3, 0.01),
        StudyCell("c", "c", 0.25, 0.5, 0.5),
    ]
    assert forecast.fit_line(cells).predict(0.25)[0] == pytest.approx(0.15, abs=0.01)
    alike = [*cells[:2], StudyCell("c", "c", 0.25, 0.5, 0.01)]
    assert forecast.fit_line(alike).predict(0.25)[0] > 0.2
    assert forecast.fit_line(alike).spread > 0.1


def test_four_in_five_are_covered():
    """Cells that were left out, and gains of cells that were never measured."""
    rng, left_out, new = np.random.default_rng(0), [], []
    for _ in range(40):
        made = forecast.make_forecast(simulate(rng, 20, slope=0.6, spread=0.03), "", "")
        left_out.append(made.covered)
        for gap in rng.uniform(0, 0.5, 20):
            _, low, high = made.line.predict(gap)
            new.append(low <= -0.01 + 0.6 * gap + 0.03 * rng.standard_normal() <= high)
    assert np.mean(left_out) == pytest.approx(0.8, abs=0.05)
    assert np.mean(new) == pytest.approx(0.8, abs=0.05)


def test_where_the_gap_says_nothing_nothing_is_explained():
    made = forecast.make_forecast(simulate(np.random.default_rng(0), 20, slope=0.0, spread=0.05), "", "")
    assert made.r2 < 0.2


def test_a_cell_is_predicted_from_other_worlds_alone():
    """The first two are off the line, and no other cell says so."""
    cells = [StudyCell(str(gap), str(gap), gap, gap, 0.01) for gap in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    alike = [StudyCell(str(gap), "alike", gap, 0.0, 0.01) for gap in (0.5, 0.52)]
    apart = [StudyCell(str(gap), str(gap), gap, 0.0, 0.01) for gap in (0.5, 0.52)]
    both = forecast.make_forecast([*alike, *cells], "", ""), forecast.make_forecast([*apart, *cells], "", "")
    assert both[0].error > both[1].error


def test_cells_come_from_probes_and_outcomes(tmp_path: Path):
    """HeRL is right on one more problem of four with each seed; guidance repairs 0.3 of 40 failures of 80 drafts."""
    estimate = {"value": 0.3, "low": 0.1, "high": 0.5}
    gap = {"arm": "reference@0.7", "temperature": 0.7, "failures": 40, "own": 0.4, "resampled": 0.1}
    drafts = {"problems": 84, "undecided": 4, "right": 0.5, "reward": 0.6, "metric": 0.5, "cut_off": 0.0}
    drafts |= {"tokens": 9.0, "read": None, "failures": 40, "failure_reward": 0.1, "failure_tokens": 9.0}
    probe = {"drafts": drafts, "gaps": [{**gap, "value": estimate, "words": None, "content": None}]}
    runs = [{"arm": "ppo", "seed": seed, "outcomes": "100?"} for seed in (0, 1, 2)]
    runs += [{"arm": "herl", "seed": seed, "outcomes": "1010"} for seed in (0, 1)]
    part: dict[str, Any] = {
        "folder": "f",
        "tasks": [{"runs": runs}],
        "probes": {"herl": probe, "lost": {**probe, "gaps": []}},
    }
    (cell,) = forecast.list_cells({"rules": part, "tune": {"tasks": []}})
    assert (cell.name, cell.gap, cell.gain) == ("rules", pytest.approx(0.15), 0.25)
    place = tmp_path / "forecast.json"
    part |= {"budget": 50_000, "versions": {"herl_bench": "1"}}
    assert forecast.write_forecast({"a": part}, place) is None
    many = {str(i): json.loads(json.dumps(part)) for i in range(10)}
    for i, one in enumerate(many.values()):
        one["folder"] = str(i)
        one["probes"]["herl"]["gaps"][0]["value"]["value"] = i / 10
        one["tasks"][0]["runs"][-1]["outcomes"] = "1010" if i > 4 else "1000"
    forecast.write_forecast({**many, "a": {**part, "budget": 100_000}}, place)
    found = read_forecast(place)
    assert found is not None
    assert (found.budget, found.line.cells, len(found.cells)) == ("50,000 to 100,000 tokens", 11, 11)
    assert set(found.others) == set(forecast.OTHERS)
    assert read_forecast(tmp_path / "none.json") is None
