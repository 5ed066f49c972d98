"""A mean and its uncertainty, what an answer counts that nobody could decide, and pass@k: pure numbers.

Means are over all items, the undecided ones counted as wrong, with their number beside: whatever makes an answer
undecidable must not pay. Training, evaluation, results files and comparisons all take that rule from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PASS_AT = (10, 100)  # the k of pass@k beyond pass@1, which is the mean itself


@dataclass(frozen=True)
class Score:
    """A mean over items and its standard error, sqrt(var(ddof=1) / items) as in lm-eval; None where there are too few.

    items: of the mean. undecided: items with a response that could not be decided; in a metric of which more is better
    they are among `items`, as wrong; elsewhere they are left out.
    """

    value: float | None
    stderr: float | None
    items: int
    undecided: int = 0

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        return f"{self.value:.4f}" + (f" ± {self.stderr:.4f}" if self.stderr is not None else "")


def value_of_undecided(seen: Iterable[float | None], higher_is_better: bool) -> float | None:
    """What an undecided answer counts among those seen: 0, or the worst where scores can be below it. None: nothing at
    all, because where less is better there is no worst value."""
    return min([0.0, *(value for value in seen if value is not None)]) if higher_is_better else None


def fill_undecided(values: Sequence[float | None], higher_is_better: bool) -> list[float]:
    """The values with the undecided ones counted, or left out; see `value_of_undecided`."""
    wrong = value_of_undecided(values, higher_is_better)
    return [float(v) for value in values if (v := wrong if value is None else value) is not None]


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are not None; None where there is none."""
    decided = [float(value) for value in values if value is not None]
    return sum(decided) / len(decided) if decided else None


def mean_and_stderr(values: Sequence[float]) -> Score:
    """Mean and sample standard error; the latter needs two values."""
    count = len(values)
    if count == 0:
        return Score(None, None, 0)
    average = math.fsum(values) / count
    if count == 1:
        return Score(average, None, 1)
    variance = math.fsum((value - average) ** 2 for value in values) / (count - 1)
    return Score(average, math.sqrt(variance / count), count)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k responses passes, unbiased from c passes among n: 1 - C(n-c, k) / C(n, k), as a
    product of factors in [0, 1] (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1)."""
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs 0 <= passes <= responses and k <= responses, not {c} of {n}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def choose_pass_metrics(names: Sequence[str]) -> list[int]:
    """The positions of the metrics that pass@k is reported for: those called pass@1, or else the primary one."""
    return [i for i, name in enumerate(names) if name == "pass@1"] or list(range(len(names)))[:1]
