"""The statistics of a comparison, as pure functions on arrays: which formula is used and why; scipy does the rest.

Shape suffixes: `_I` is (item,), `_S` is (seed,), `_SI` is (seed, item), `_ST` is (seed, task). Scores lie in [0, 1].

The interval behind every verdict is `crossed_interval`, not a bootstrap. Both seeds and items are samples, and seeds
are few. What was tried, and how it does with 3 and 5 seeds (`benchmarks/coverage.py`):

* a hierarchical percentile bootstrap covers the truth 77 to 93 times in 100 instead of 95 where seeds vary, because it
  knows neither the n / (n - 1) of a variance nor Student's t; where they do not vary it covers it 99 times, because it
  counts the noise of one answer three times;
* the analysis of variance with estimated degrees of freedom, as for readers and cases (Obuchowski and Rockette 1995,
  Hillis 2007), covers it 93 to 96 times, but with 3 seeds calls no effect an effect in 8 of 100 comparisons of 3 tasks
  and 2 arms *after* Holm's correction: it is wrong far out in the tail, where corrected tests look;
* averaging over what the variance between seeds may be, as here, covers it 94.5 to 97 times, with false positives in 4
to 5 of 100.

Left out: Bayesian models, and tests that assume normal scores of a single run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.95
DRAWS = 2_000
POWER = 0.8
MOST_SEEDS = 100
QUADRATURE = 400


# ------------------------------------------------------------------------------------------------------ within one seed
def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact p-value that two systems are equally often right, from the items that only one of them got right.

    Source: McNemar 1947, in its exact conditional form: given n = fixed + broken discordant items, `fixed` is
    Binomial(n, 1/2) and p = min(1, 2 P(X <= min(fixed, broken))). 1 where no item is discordant.
    """
    from scipy.stats import binomtest

    n = fixed + broken
    return float(binomtest(fixed, n, 0.5).pvalue) if n else 1.0


def paired_bootstrap(differences_I: Array, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Interval of a mean difference over items, within one seed: percentiles of means of items drawn with replacement.

    Source: Efron and Tibshirani 1993, chapter 13. It says nothing about other seeds.
    """
    import numpy as np

    weights = _resampled(np.random.default_rng(seed), draws, len(differences_I))
    return _percentiles(weights @ np.asarray(differences_I, float))


def mean_interval(values: Array) -> tuple[float, float]:
    """Of the mean of independent values, two or more: mean +- t(n - 1) s / sqrt(n). Source: Student 1908."""
    import numpy as np
    from scipy.stats import t as student

    n = len(values)
    reach = float(student.ppf((1 + LEVEL) / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    centre = float(np.mean(values))
    return centre - reach, centre + reach


def share_interval(right: int, of: int) -> tuple[float, float]:
    """Of a share of independent right-or-wrong items; with a width where none or all are right. Source: Wilson 1927."""
    from scipy.stats import binomtest

    found = binomtest(right, of).proportion_ci(confidence_level=LEVEL, method="wilson")
    return float(found.low), float(found.high)


# ------------------------------------------------------------------------------------------------------ seeds and items
@dataclass(frozen=True)
class Crossed:
    """var_seed: the part of the mean's variance that more seeds shrink; var_item: that more items alone shrink."""

    value: float
    low: float
    high: float
    p: float
    var_seed: float
    var_item: float
    seeds: int

    @property
    def stderr(self) -> float:
        return math.sqrt(self.var_seed + self.var_item)

    @property
    def seed_share(self) -> float | None:
        return self.var_seed / (self.var_seed + self.var_item) if self.stderr > 0 else None


def crossed_interval(values_SI: Array) -> Crossed:
    """Interval and two-sided p-value (against 0) of a mean over seeds crossed with items, both of them samples.

    Source of the variance: the two-way random-effects analysis of variance (Scheffé 1959, chapter 4). With mean squares
    MS_S (seeds), MS_I (items) and MS_SI (rest), the mean's variance is estimated by var_seed + var_item = MS_S / (S I)
    + max(MS_I - MS_SI, 0) / (S I). The first is known from S - 1 degrees of freedom only, the second from many.

    Source of the distribution: Behrens and Fisher's (Fisher 1935): p = E[2 Phi(-|mean| / sqrt(V + var_item))], V =
    var_seed (S - 1) / chi2(S - 1) being what the seeds' part may truly be. With no item part that is Student's t test
    over seeds, with no seed part the normal test over items; in between it is known to be cautious (97.6 % instead of
    95 % with 3 seeds). Hence each V weighs ((V + var_item) / V)^(1/3). The exponent is our own choice, by simulation:
    with 1/4 coverage still reached 97 %, with 1/2 tests at 0.05 / 6 began to err too often.

    Passing differences arm minus baseline, from the same seeds and items, makes it a paired test. Needs two seeds and
    two items. Where all values are equal there is no variance to estimate: the bounds are then the rule of three's,
    value +- (1 - 0.05^(1/I)).
    """
    import numpy as np

    x = np.asarray(values_SI, float)
    assert x.ndim == 2
    assert min(x.shape) >= 2
    seeds, items = x.shape
    value = float(x.mean())
    if np.ptp(x) == 0:
        reach = _apply_rule_of_three(items)
        return Crossed(value, value - reach, value + reach, 1.0 if abs(value) <= reach else 0.0, 0.0, 0.0, seeds)
    by_seed, by_item = x.mean(1, keepdims=True), x.mean(0, keepdims=True)
    ms_seed = items * float(((by_seed - value) ** 2).sum()) / (seeds - 1)
    ms_item = seeds * float(((by_item - value) ** 2).sum()) / (items - 1)
    ms_rest = float(((x - by_seed - by_item + value) ** 2).sum()) / ((seeds - 1) * (items - 1))
    var_item = max(ms_item - ms_rest, 0.0) / (seeds * items)
    var_seed = (ms_seed if ms_seed + var_item > 0 else ms_rest) / (seeds * items)
    reach, p = _reach(var_seed, var_item, seeds), _tail(abs(value), var_seed, var_item, seeds)
    return Crossed(value, value - reach, value + reach, p, var_seed, var_item, seeds)


def _apply_rule_of_three(items: int) -> float:
    return 1 - (1 - LEVEL) ** (1 / items)


def _tail(distance: float, var_seed: float, var_item: float, seeds: int) -> float:
    """The p-value of a mean this far from 0; see `crossed_interval`."""
    import numpy as np
    from scipy.special import ndtr

    inverse, weight = _inverse_chi2(seeds - 1)
    v = var_seed * inverse
    if var_seed > 0:
        weight = weight * (1 + var_item / v) ** (1 / 3)
    return float((weight * 2 * ndtr(-distance / np.sqrt(v + var_item))).sum() / weight.sum())


@lru_cache
def _inverse_chi2(df: int) -> tuple[Array, Array]:
    """Values of df / chi2(df) and their weights. Points crowd at small chi2, where the tail of t comes from."""
    import numpy as np
    from scipy.stats import chi2

    x = (np.arange(QUADRATURE) + 0.5) / QUADRATURE
    return df / chi2.ppf(x**4, df), x**3


def _reach(var_seed: float, var_item: float, seeds: int) -> float:
    """Half the interval's width: the distance at which the p-value is 1 - LEVEL."""
    from scipy.optimize import brentq
    from scipy.stats import norm
    from scipy.stats import t as student

    q = (1 + LEVEL) / 2
    most = float(student.ppf(q, seeds - 1)) * math.sqrt(var_seed) + float(norm.ppf(q)) * math.sqrt(var_item)
    found = brentq(lambda reach: _tail(reach, var_seed, var_item, seeds) - (1 - LEVEL), 0.0, 1.01 * most, xtol=1e-9)
    return float(found)


def items_interval(a_I: Array, b_I: Array) -> Crossed:
    """Interval and two-sided p-value of the mean paired difference b - a where items alone are a sample, not seeds.

    The interval is Student's; p is McNemar's exact one where every outcome is 0 or 1, else Student's. Where all
    differences are equal there is no variance to estimate: the bounds are then the rule of three's, as in
    `crossed_interval`. Needs two items.
    """
    import numpy as np
    from scipy.stats import t as student

    gain = np.asarray(b_I, float) - np.asarray(a_I, float)
    items, value = len(gain), float(gain.mean())
    stderr = float(np.std(gain, ddof=1)) / math.sqrt(items)
    low, high = mean_interval(gain)
    constant, reach = float(np.ptp(gain)) == 0, _apply_rule_of_three(items)
    if constant:
        low, high = value - reach, value + reach
    if set(np.unique(a_I)) | set(np.unique(b_I)) <= {0.0, 1.0}:
        p = mcnemar(int((gain > 0).sum()), int((gain < 0).sum()))
    elif constant:
        p = 1.0 if abs(value) <= reach else 0.0
    else:
        p = float(2 * student.sf(abs(value) / stderr, items - 1))
    return Crossed(value, low, high, p, 0.0, stderr**2, 1)


def items_needed(found: Crossed, items: int, difference: float) -> int:
    """About how many items, varying as these, would find a true difference of this size as often as `detectable`."""
    return math.ceil(items * (detectable(found) / difference) ** 2)


def hierarchical_bootstrap(values_SI: Array, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean over seeds and items, both drawn with replacement, the same items for every seed.

    Source: the pigeonhole bootstrap for crossed data, Owen 2007 (doi 10.1214/07-AOAS122). Too narrow with few seeds:
    see the head of this file.
    """
    import numpy as np

    x = np.asarray(values_SI, float)
    rng = np.random.default_rng(seed)
    seeds, items = x.shape
    weights = _resampled(rng, draws, seeds), _resampled(rng, draws, items)
    return _percentiles(np.einsum("ds,si,di->d", weights[0], x, weights[1], optimize=True))


def detectable(found: Crossed, seeds: int | None = None) -> float:
    """The true difference that this test finds with chance `POWER`; a smaller one cannot be told from noise.

    Source: Cohen 1988, chapter 2, in its normal form: half the interval's width plus z(POWER) standard errors, which
    takes the estimated noise for the true one. seeds: as if there were so many on the same items, varying as these did:
    var_seed then shrinks as 1 / seeds, var_item stays.
    """
    from scipy.stats import norm

    if found.stderr == 0:  # nothing varied: no number of seeds narrows the rule of three's bounds
        return found.high - found.value
    if found.seeds == 1:
        return found.high - found.value + float(norm.ppf(POWER)) * found.stderr
    seeds = seeds or found.seeds
    var_seed = found.var_seed * found.seeds / seeds
    return _reach(var_seed, found.var_item, seeds) + float(norm.ppf(POWER)) * math.sqrt(var_seed + found.var_item)


def seeds_needed(found: Crossed, difference: float) -> int | None:
    """Fewest seeds (3 to 100) that would find a true difference of this size; None where only more items could."""
    return next((n for n in range(3, MOST_SEEDS + 1) if detectable(found, n) <= difference), None)


# --------------------------------------------------------------------------------------------------------- runs × tasks
def iqm(scores_ST: Array) -> float:
    """Interquartile mean: the mean of the middle half of all scores.

    Source: Agarwal et al. 2021 (rliable), section 4.3: the 25 % trimmed mean over runs and tasks together. Under 4
    scores it is the mean.
    """
    from scipy.stats import trim_mean

    return float(trim_mean(scores_ST, 0.25, axis=None))


def probability_of_improvement(baseline_ST: Array, arm_ST: Array) -> float:
    """Chance that a run of the arm beats a run of the baseline on a task drawn at random, ties counting half.

    Source: Agarwal et al. 2021, section 4.3: the mean over tasks of the Mann-Whitney U of the arm divided by the number
    of pairs.
    """
    import numpy as np

    a, b = np.asarray(baseline_ST, float), np.asarray(arm_ST, float)
    wins = (b[:, None, :] > a[None, :, :]) + 0.5 * (b[:, None, :] == a[None, :, :])
    return float(wins.mean())


def improvement_interval(chance: float, baseline_runs: int, arm_runs: int) -> tuple[float, float]:
    """Interval of a probability of improvement on one task, from few runs; unlike a bootstrap's, no point at 0 or 1.

    Source: Newcombe 2006 part 2, method 5 (doi 10.1002/sim.2324): the values theta with |chance - theta| <= z
    sqrt(V(theta)), where V = theta (1 - theta) [1 + (n - 1) ((1 - theta) / (2 - theta) + theta / (1 + theta))] / (n_a
    n_b) and n = (n_a + n_b) / 2.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, n = float(norm.ppf((1 + LEVEL) / 2)), (baseline_runs + arm_runs) / 2

    def outside(theta: float) -> float:
        factor = 1 + (n - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        spread = theta * (1 - theta) * factor / (baseline_runs * arm_runs)
        return float((chance - theta) ** 2 - z * z * spread)

    low = brentq(outside, 0.0, min(chance, 1 - 1e-9)) if chance > 0 else 0.0  # at 1 itself the equation holds trivially
    high = brentq(outside, max(chance, 1e-9), 1.0) if chance < 1 else 1.0
    return float(low), float(high)


def stratified_bootstrap(
    statistic: Callable[..., float], matrices_ST: Sequence[Array], *, draws: int = DRAWS
) -> tuple[float, float]:
    """Percentile interval of a statistic of score matrices; runs are drawn with replacement, within task and matrix.

    Source: Agarwal et al. 2021, section 4.2. With under about 10 runs per task it is too narrow, as they say too.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = [np.asarray(m, float) for m in matrices_ST]

    def drawn(matrix: Array) -> Any:
        return np.take_along_axis(matrix, rng.integers(0, matrix.shape[0], matrix.shape), axis=0)

    return _percentiles(np.array([statistic(*map(drawn, arrays)) for _ in range(draws)]))


# ------------------------------------------------------------------------------------------------------ learning curves
def curve_area(tokens: Sequence[float], values: Sequence[float], start: float, stop: float) -> float:
    """Mean height of a learning curve between two token counts, by the trapezoid rule.

    Between two points the curve is a line; before the first and after the last it is flat.
    """
    import numpy as np
    from scipy.integrate import trapezoid

    assert stop > start
    inside = [t for t in tokens if start < t < stop]
    grid = np.array([start, *inside, stop], float)
    return float(trapezoid(np.interp(grid, tokens, values), grid)) / (stop - start)


def tokens_to_target(tokens: Sequence[int], values: Sequence[float], target: float) -> int | None:
    """Tokens after which a curve has reached the target and keeps it: the first point at or over it, from which on the
    mean is too.

    The second condition is what keeps a noisy curve from getting there by one lucky step. None where it never does.
    """
    for i, (spent, value) in enumerate(zip(tokens, values, strict=True)):
        rest = values[i:]
        if value >= target and math.fsum(rest) / len(rest) >= target:
            return spent
    return None


# ----------------------------------------------------------------------------------------------------------- many tests
def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false positive under the level, however the tests depend.

    Source: Holm 1979: with p sorted upwards, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def _resampled(rng: Any, draws: int, count: int) -> Any:
    """(draws, count) weights of a resample with replacement: how often each was drawn, divided by count."""
    return rng.multinomial(count, [1 / count] * count, size=draws) / count


def _percentiles(draws: Any) -> tuple[float, float]:
    """At `LEVEL`."""
    import numpy as np

    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
