"""The gate that keeps evaluation items out of training.

It compares prompts, never answers, by two rules on words and signs in lower case:

* exact: a training prompt that equals an evaluation prompt stops the run;
* near: at least 80 % of an evaluation prompt's distinctive 13-grams occur in one training prompt. A 13-gram is
  distinctive if at most 20 training prompts contain it; else it is boilerplate: a standard instruction, a shared table.

Published benchmarks do hold near items: BIG-Bench Hard asks three questions about one shuffling story, and two about
one causal story. Near training items are therefore dropped and counted, so that what is really trained on passes; where
they are more than 5 % of the training set, it is the wrong set and the run stops. Measured on the published files:
GSM8K 0 of 7,473 training items, MBPP against HumanEval 0 of 464, BIG-Bench Hard, whose plugin keeps the questions about
one story together, 13 of 5,244. Split item by item without that care, BIG-Bench Hard has 153 of 5,184, and 554 where
boilerplate counts too, so the gate tells siblings from shared wording.

A synthetic world makes endless items from templates, whose neighbours differ in a number or a name by design; there the
near rule only reports. The exact rule covers the first 2,000 training items at launch, and skips any later stray.

Left out: overlap of answers, paraphrases, and anything a model saw before it came here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from herl_bench.errors import LeakageError
from herl_bench.types import Example

NGRAM = 13
NEAR = 0.8
BOILERPLATE = 20
MOST_DROPPED = 0.05
STREAM_CHECKED = 2_000

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Gate:
    """outcome: for the manifest. forbidden: normalised evaluation prompts. dropped: places of near training items."""

    outcome: dict[str, Any]
    forbidden: frozenset[str]
    dropped: frozenset[int]


def normalize_prompt(prompt: str) -> str:
    return " ".join(_TOKEN.findall(prompt.lower()))


def check_leakage(training: Iterable[Example], evaluation: Sequence[Example], *, endless: bool) -> Gate:
    """endless: the start of a stream, whose near items count but stay. Raises `LeakageError` with the first ids."""
    training = list(training)
    prompts = {normalize_prompt(e.prompt): e.id for e in evaluation}
    same = [(e.id, twin) for e in training if (twin := prompts.get(normalize_prompt(e.prompt))) is not None]
    if same:
        (first, twin), *others = same
        named = ", ".join(f"{a} that of {b}" for a, b in others[:3]) + (", …" if len(others) > 3 else "")
        more = f", and {len(others)} more have one's ({named})" if others else ""
        found = f"training item {first} has the same prompt as evaluation item {twin}{more}"
        raise LeakageError(f"{found}: training must never see evaluation items")
    near, worst = _find_near(training, evaluation)
    if not endless and len(near) > MOST_DROPPED * len(training):
        index, (score, twin) = max(near.items(), key=lambda pair: pair[1][0])
        raise LeakageError(
            f"{len(near)} of {len(training)} training items nearly repeat an evaluation item (e.g. {training[index].id}"
            f" has {score:.0%} of {twin}): more than {MOST_DROPPED:.0%} means that this is not a training split"
        )
    dropped = frozenset() if endless else frozenset(near)
    outcome = {
        "train_checked": len(training),
        "eval_checked": len(evaluation),
        "ngram": NGRAM,
        "threshold": NEAR,
        "boilerplate": BOILERPLATE,
        "exact": 0,
        "near": len(near),
        "near_eval": len({twin for _, twin in near.values()}),
        "dropped": len(dropped),
        "worst": worst,
    }
    return Gate(outcome, frozenset(prompts), dropped)


def _find_near(
    training: Sequence[Example], evaluation: Sequence[Example]
) -> tuple[dict[int, tuple[float, str]], dict[str, Any] | None]:
    """Training index → (share, evaluation id) at or above the threshold; and the largest share below it."""
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    wanted = [_split_ngrams(e.prompt) for e in evaluation]
    for i, grams in enumerate(wanted):
        for gram in grams:
            holders[gram].append(i)
    shared = [[gram for gram in _split_ngrams(e.prompt) if gram in holders] for e in training]
    frequency = Counter(gram for common in shared for gram in common)
    distinctive = [sum(frequency[gram] <= BOILERPLATE for gram in grams) for grams in wanted]
    near: dict[int, tuple[float, str]] = {}
    worst: tuple[float, str, str] | None = None
    for j, common in enumerate(shared):
        hits = Counter(i for gram in common if frequency[gram] <= BOILERPLATE for i in holders[gram])
        for i, count in sorted(hits.items()):  # in order, so that a tie is the same one every time
            share = count / distinctive[i]
            if share >= NEAR:
                near[j] = max(near.get(j, (0.0, "")), (share, evaluation[i].id))
            elif worst is None or share > worst[0]:
                worst = (share, training[j].id, evaluation[i].id)
    return near, worst and {"share": round(worst[0], 4), "train": worst[1], "eval": worst[2]}


def _split_ngrams(prompt: str) -> set[tuple[str, ...]]:
    """A prompt of fewer than NGRAM tokens is one gram."""
    tokens = _TOKEN.findall(prompt.lower())
    return {tuple(tokens[i : i + NGRAM]) for i in range(max(1, len(tokens) - NGRAM + 1))}
