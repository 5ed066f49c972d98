"""Sets of answers that somebody evaluated, and pairing them: an item of one with the same item of the others.

Items are known by the surest kind of key that all sets have; two that share a key must also ask the same question. Left
out: reading them (`answer_files.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from herl_bench.comparison.finished_runs import Sample, describe_item, find_metric_key
from herl_bench.comparison.outcomes import Counts, Outcomes
from herl_bench.comparison.schema import TaskItems
from herl_bench.errors import UsageError
from herl_bench.evaluation.scores import value_of_undecided
from herl_bench.plain_text import flatten

KEYS = ("id", "doc_hash", "doc_id")
"""What items are known by, the surest first."""
FEWEST_LETTERS = 12
"""Of a text, before another question that holds it counts as the same."""


@dataclass(frozen=True)
class ItemAnswers:
    """An item and what was answered to it. keys: by `KEYS`. values: by metric, one per sample, None where undecided."""

    keys: Mapping[str, str]
    prompt: str
    target: str
    texts: tuple[str, ...]
    values: Mapping[str, tuple[float | None, ...]]
    response: str
    criteria: Mapping[str, bool | None] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    shared: int = 0


@dataclass(frozen=True)
class AnswerSet:
    """All of one task. metrics: in the file's order; higher: is more of it better? settings, seed: of the sampling."""

    path: Path
    name: str
    task: str
    items: tuple[ItemAnswers, ...]
    metrics: tuple[str, ...]
    higher: Mapping[str, bool] = field(default_factory=dict)
    source: str = ""
    settings: Any = None
    seed: Any = None


@dataclass(frozen=True)
class AnswerPairs:
    """The sets' answers to the same items. key: what items were known by. left_out: items that not every set has."""

    outcomes: Outcomes
    key: str
    left_out: int
    notes: tuple[str, ...] = ()


Keyed = dict[str, dict[str, ItemAnswers]]
"""By arm, then by the chosen key."""


def pair_answers(sets: Mapping[str, AnswerSet], metrics: Sequence[str], allow_unequal: bool) -> AnswerPairs:
    """sets: by arm, of one task; the first is the baseline. metrics: NAME[,FILTER] for all, or one for each. Raises
    `UsageError` where the items differ, saying how many, or the metric is not the same and none was named."""
    places, first = ", ".join(str(one.path) for one in sets.values()), next(iter(sets))
    chosen = _choose_metrics(sets, metrics)
    key, keyed = _choose_key(sets, places)
    common, left_out = _find_common(keyed, key, places, allow_unequal)
    _check_questions(keyed, common, key, places)
    higher = {sets[arm].higher.get(chosen[arm]) for arm in sets} - {None}
    if len(higher) > 1:
        both = "more is better in one of the files and worse in another"
        raise UsageError(f"{chosen[first]}: {both}: name another --metric")
    answers = {arm: [by_key[name] for name in common] for arm, by_key in keyed.items()}
    values = {arm: [one.values[chosen[arm]] for one in group] for arm, group in answers.items()}
    firsts = zip(common, answers[first], strict=True)
    items = tuple(describe_item(one.keys.get("id", name), one.prompt, one.target, one.info) for name, one in firsts)
    heads = [group[0] for group in answers.values()]
    criteria = [name for name in heads[0].criteria if all(name in head.criteria for head in heads)]
    names, source = " and ".join(dict.fromkeys(chosen.values())), sets[first].source or "its own source"
    everything = (value for group in values.values() for samples in group for value in samples)
    wrong = value_of_undecided(everything, higher != {False})
    samples = {
        arm: {
            0: [
                Sample(item, one.response, _average(outcomes, wrong), None, one.criteria, "")
                for item, one, outcomes in zip(items, answers[arm], values[arm], strict=True)
            ]
        }
        for arm in sets
    }
    counts = {arm: _count(answers[arm], values[arm]) for arm in sets}
    repeats = {arm: max(map(len, group)) for arm, group in values.items()}
    described = TaskItems(sets[first].task, names, higher != {False}, source, items, tuple(criteria))
    notes = () if higher else (f"No file says whether more {chosen[first]} is better: it was taken to be.",)
    return AnswerPairs(Outcomes(described, samples, counts, repeats), key, left_out, notes)


def _count(answers: Sequence[ItemAnswers], values: Sequence[Sequence[float | None]]) -> Counts:
    undecided = sum(samples.count(None) for samples in values)
    return Counts(sum(map(len, values)), undecided, sum(one.shared for one in answers))


def _choose_metrics(sets: Mapping[str, AnswerSet], wanted: Sequence[str]) -> dict[str, str]:
    """By arm."""
    if wanted:
        if len(wanted) not in (1, len(sets)):
            given = f"--metric was given {len(wanted)} times for {len(sets)} sets of answers"
            raise UsageError(f"{given}: name one for all, or one for each in order")
        names = dict(zip(sets, cycle(wanted), strict=False))
        return {arm: find_metric_key(names[arm], one.metrics, str(one.path)) for arm, one in sets.items()}
    for one in sets.values():
        if not one.metrics:
            raise UsageError(f"{one.path}: no metric has a number for every item")
    first = {arm: one.metrics[0] for arm, one in sets.items()}
    if len(set(first.values())) == 1:
        return first
    common = [key for key in next(iter(sets.values())).metrics if all(key in one.metrics for one in sets.values())]
    if len(common) == 1:
        return dict.fromkeys(sets, common[0])
    held = "; ".join(f"{arm} has {', '.join(one.metrics)}" for arm, one in sets.items())
    raise UsageError(f"which metric? {held}: pass --metric NAME[,FILTER], or one --metric for each in order")


def _choose_key(sets: Mapping[str, AnswerSet], places: str) -> tuple[str, Keyed]:
    """The surest kind of key that is in every row and gives the most items in common; and the items by it."""
    choices: list[tuple[int, str, Keyed]] = []
    for name in KEYS:
        if all(name in item.keys for one in sets.values() for item in one.items):
            keyed = {arm: {item.keys[name]: item for item in one.items} for arm, one in sets.items()}
            if all(len(keyed[arm]) == len(one.items) for arm, one in sets.items()):  # twins: not what tells items apart
                choices.append((len(set.intersection(*map(set, keyed.values()))), name, keyed))
    if not choices:
        raise UsageError(f"{places}: their items have no kind of key in common ({', '.join(KEYS)})")
    return max(choices, key=lambda one: one[0])[1:]


def _find_common(keyed: Keyed, key: str, places: str, allow_unequal: bool) -> tuple[list[str], int]:
    """Keys of the items that all have, in the first one's order, and how many items are left out."""
    common = [name for name in next(iter(keyed.values())) if all(name in by_key for by_key in keyed.values())]
    left_out = max(map(len, keyed.values())) - len(common)
    if left_out and not allow_unequal:
        held = "; ".join(f"{arm} has {len(by_key):,}" for arm, by_key in keyed.items())
        advice = "evaluate on the same ones, or pass --allow_unequal to compare those that are in all"
        raise UsageError(f"{places}: not the same items: {len(common):,} are in all by {key} ({held}): {advice}")
    if len(common) < 2:
        raise UsageError(f"{places}: they share {len(common)} items by {key}: nothing to compare")
    return common, left_out


def _check_questions(keyed: Keyed, common: Sequence[str], key: str, places: str) -> None:
    first, *others = keyed.values()
    strange = [name for name in common if not all(_is_same(first[name], other[name]) for other in others)]
    if strange:
        other = f"are other questions or have another reference answer, {flatten(strange[0])[:60]} first"
        count = f"{len(strange):,} of {len(common):,} items"
        raise UsageError(f"{places}: {count} have the same {key} and {other}: these are not the same items")


def _is_same(a: ItemAnswers, b: ItemAnswers) -> bool:
    """Equal hashes, or a longer text of one in the other's; of two files of one form, the same reference answer too."""
    digest = a.keys.get("doc_hash")
    if digest is not None and digest == b.keys.get("doc_hash"):
        return True
    if a.prompt == b.prompt:
        return a.target == b.target
    ours, theirs = (["".join(text.split()) for text in one.texts] for one in (a, b))
    return _is_any_within(ours, theirs) or _is_any_within(theirs, ours)


def _is_any_within(texts: Sequence[str], others: Sequence[str]) -> bool:
    return any(len(text) >= FEWEST_LETTERS and text in other for text in texts for other in others)


def _average(samples: Sequence[float | None], wrong: float | None) -> float | None:
    values = [value for sample in samples if (value := wrong if sample is None else sample) is not None]
    return math.fsum(values) / len(values) if values else None
