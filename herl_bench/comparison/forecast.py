"""What HeRL brought where the guidance gap had been measured before training, and what that says of another gap.

A straight line over the cells of a study, each a policy, a world and a hint level: HeRL - PPO after training against
the gap before it. `benchmarks/science/forecast.py` fits it and writes `forecast.json` beside this file; where there is
no such file, nothing is forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from herl_bench.comparison.probe_schema import Drafts, Gap
from herl_bench.reading import parse_written, read_text

PLACE = Path(__file__).with_name("forecast.json")
LEVEL = 0.8
"""Of the interval."""


@dataclass(frozen=True)
class StudyCell:
    """gap: over all problems, before training. gain: HeRL - PPO after it, a difference of shares; stderr: the standard
    error of that, over seeds and problems. world: cells of one share policy, problems and PPO's runs."""

    name: str
    world: str
    gap: float
    gain: float
    stderr: float


@dataclass(frozen=True)
class Line:
    """gain = intercept + slope gap. variances: of intercept and slope, and between them their covariance. spread:
    standard deviation of what cells differ by beyond the line and their own noise. cells: how many it was fitted to."""

    intercept: float
    slope: float
    variances: tuple[float, float, float]
    spread: float
    cells: int

    def predict(self, gap: float, stderr: float = 0.0) -> tuple[float, float, float]:
        """The gain of another cell, and the ends of the interval that holds it with a chance of `LEVEL`; stderr: of the
        noise that it is measured with, none for the gain itself.

        Source: Higgins, Thompson and Spiegelhalter 2009, section 5, for a line in place of a mean: Student's with
        cells - 3 degrees of freedom, two of them the line's and one the spread's.
        """
        from scipy.stats import t as student

        at_0, both, of_slope = self.variances
        variance = self.spread**2 + stderr**2 + at_0 + 2 * gap * both + gap**2 * of_slope
        reach = float(student.ppf((1 + LEVEL) / 2, self.cells - 3)) * math.sqrt(max(0.0, variance))
        value = self.intercept + self.slope * gap
        return value, value - reach, value + reach


@dataclass(frozen=True)
class Forecast:
    """error, r2, covered: of cells that were each predicted from those of all other worlds: root of the mean squared
    error, share of the gains' variance that is predicted, and share that lay within the interval for what is measured.
    others: error of lines on other predictors, by name. budget: tokens of a run, in words. version: of this package,
    which ran the study."""

    line: Line
    cells: tuple[StudyCell, ...]
    error: float
    r2: float
    covered: float
    others: Mapping[str, float]
    budget: str
    version: str

    @property
    def studied(self) -> tuple[float, float]:
        """Smallest and largest gap."""
        gaps = [cell.gap for cell in self.cells]
        return min(gaps), max(gaps)


def read_forecast(place: Path | None = None) -> Forecast | None:
    """The package's own if left out; None where no study has been written. Raises `UsageError` for what is none."""
    place = place or PLACE
    return parse_written(Forecast, read_text(place), str(place), "forecast") if place.is_file() else None


def spread_gap(drafts: Drafts, gap: Gap) -> float:
    """The gap over all problems, not over failures alone: the share of problems that own guidance repairs beyond what
    sampling anew does. A gain is one over all problems, too, so this is what it goes with."""
    decided = drafts.problems - drafts.undecided
    return gap.value.value * gap.failures / decided
