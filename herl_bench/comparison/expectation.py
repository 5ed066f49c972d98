"""What a probe lets one expect of HeRL, in one sentence: rules on intervals, and nothing that was not measured.

How large a gain is forecast is `forecast.py`'s; here stands when it may be said (`forecast_gain`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from herl_bench.comparison.forecast import LEVEL, Forecast, spread_gap
from herl_bench.comparison.probe_schema import Drafts, Estimate, Gap

FEWEST = 20
"""Failures under which intervals are as wide as what they should tell apart."""
NOT_FORECAST = "not forecast: outside what was studied"


def forecast_gain(drafts: Drafts, gaps: Sequence[Gap], forecast: Forecast | None) -> Estimate | None:
    """HeRL - PPO after training, with the interval of `LEVEL`. None where it is outside what was studied, or where the
    failures are too few. forecast: None where nothing was studied that is like this model and its problems."""
    if forecast is None or not gaps or drafts.failures < FEWEST:
        return None
    spread, (least, most) = spread_gap(drafts, gaps[0]), forecast.studied
    return Estimate(*forecast.line.predict(spread)) if least <= spread <= most else None


def say_expectation(
    drafts: Drafts, gaps: Sequence[Gap], pass_at: Mapping[int, Estimate], forecast: Forecast | None = None
) -> str:
    """gaps: HeRL's own first. forecast: of what is like this model and its problems, None where nothing is."""
    if drafts.failures < FEWEST:
        return _say_too_few(drafts)
    if not gaps:
        return "Nothing can be said of the guidance gap: it needs own guidance at the method's hint level and resample."
    gap = gaps[0]
    parts = [f"{_say_gain(gap)}: {_say_gap(gap)}", _say_words(gap), _say_exploration(pass_at)]
    parts.append(_say_forecast(forecast_gain(drafts, gaps, forecast), forecast))
    return "; ".join(part for part in parts if part) + "."


def _say_too_few(drafts: Drafts) -> str:
    begin = f"Nothing can be told from {drafts.failures} failures: {FEWEST} are the fewest"
    decided = drafts.problems - drafts.undecided
    if not decided:
        return f"{begin}, and no draft could be judged: see what kept them from it"
    if not drafts.failures:
        return f"{begin}, and all {decided} drafts are right: a harder task is what this model could learn from."
    wanted = -(-2 * FEWEST * drafts.problems // drafts.failures)  # twice the fewest, so that chance does not fall short
    return f"{begin}; with {drafts.right:.0%} of the drafts right, ask for --items {wanted}."


def _say_gain(gap: Gap) -> str:
    low, high = gap.value.low, gap.value.high
    if low is not None and low > 0:
        return "HeRL has something to teach here that sampling does not find"
    if high is not None and high < 0:
        return "HeRL can be expected to cost here"
    return "No more is to be expected of HeRL here than of as many plain samples"


def _say_gap(gap: Gap) -> str:
    own, plain, points = f"{gap.own:.1%}", f"{gap.resampled:.1%}", format_points(gap.value)
    return f"own guidance repairs {own} of the failures, sampling anew {plain} with as many tokens ({points})"


def _say_words(gap: Gap) -> str:
    """How much of it is what is said of the very draft."""
    if gap.words is None or gap.words.low is None or gap.words.high is None:
        return ""
    found = f"(own less another's {format_points(gap.words)})"
    if gap.words.low > 0:
        return f"the words matter, for another problem's guidance repairs fewer {found}"
    if gap.words.high < 0:
        return f"the words mislead, for another problem's guidance repairs more {found}"
    if gap.value.low is not None and gap.value.low > 0:
        return f"it is not shown that the words do it {found}{_say_again(gap)}"
    return f"own guidance is not shown to repair more than another problem's {found}"


def _say_again(gap: Gap) -> str:
    """Where merely being told that the draft is wrong may do."""
    content = gap.content
    if content is None or content.low is None or content.low > 0:
        return ""
    return f', nor that they do more than "Try again." ({format_points(content)})'


def _say_exploration(pass_at: Mapping[int, Estimate]) -> str:
    most = max(pass_at, default=1)
    if most < 2:
        return ""
    first, last = pass_at[1].value, pass_at[most].value
    found = f"plain sampling solves {first:.0%} of the problems at first and {last:.0%} within {most}"
    never = (1 - last) / (1 - first) if first < 1 else 0.0
    if never > 2 / 3:
        return f"{found}, so exploration is what plain training lacks"
    return f"{found}, so plain training finds {'some' if never > 1 / 3 else 'most'} of it by itself"


def _say_forecast(found: Estimate | None, forecast: Forecast | None) -> str:
    if forecast is None:
        return NOT_FORECAST
    if found is None:
        least, most = (f"{100 * end:+.1f}" for end in forecast.studied)
        return f"{NOT_FORECAST}, gaps of {least} to {most} points over all problems"
    gain = f"HeRL - PPO {format_points(found)} ({LEVEL:.0%}) after {forecast.budget}"
    return f"forecast from {forecast.line.cells} policies and worlds: {gain}"


def format_points(found: Estimate) -> str:
    """`+12.5 points [+3.1, +21.9]`"""
    bounds = "" if found.low is None or found.high is None else f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"{100 * found.value:+.1f} points{bounds}"
