"""The synthetic world of BBH: its items are right, its sides disjoint, its misconceptions planted, its guidance
discreet."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest

from herl_bench.hindsight import HINT_LEVELS, write_guidance
from herl_bench.plugins import Host, load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_bbh")
from herl_bench_bbh import METRICS, TASK, gold, solvers, template, world

ROBUST = METRICS[0].key
DIALS = (0.0, world.DIFFICULTY, 1.0)


@pytest.fixture(scope="module")
def host() -> Host:
    host = load_host()
    host.collect_all()
    return host


@pytest.fixture(scope="module")
def demonstrations() -> list:
    return list(islice(world.WORLD.demonstrations(3), 1500))


@pytest.mark.parametrize("dial", DIALS)
def test_worked_solutions_are_right_and_meet_all_criteria(host: Host, dial: float) -> None:
    made = list(islice(world.WORLD.examples("train", 5, dial), 400))
    assert [e.id for e in made if solvers.solve(e.info["family"], e.info["input"]) != e.target] == []
    judged = judge(made, [gold(e) for e in made], host.get("rubric", "bbh"), METRICS)
    assert [
        (e.id, j.verdicts) for e, j in zip(made, judged, strict=True) if j.reward != 1 or len(j.criteria) != 5
    ] == []


def test_the_sides_are_disjoint_for_every_seed_and_difficulty() -> None:
    seen = {
        split: {
            e.prompt.lower()
            for seed in (0, 1)
            for dial in DIALS
            for e in islice(world.WORLD.examples(split, seed, dial), 400)
        }
        for split in ("train", "eval")
    }
    assert not seen["train"] & seen["eval"]
    assert min(map(len, seen.values())) > 1500


def test_a_seed_gives_the_same_items_again() -> None:
    def take(seed: int) -> list:
        return list(islice(world.WORLD.examples("eval", seed, 0.3), 60))

    assert take(1) == take(1)
    assert [e.prompt for e in take(1)] != [e.prompt for e in take(2)]


def test_difficulty_lengthens_the_work() -> None:
    def length(dial: float) -> float:
        made = list(islice(world.WORLD.examples("train", 0, dial), 400))
        return sum(len(gold(e)) for e in made) / len(made)

    assert length(0.0) < length(0.5) < length(1.0)


def test_half_of_the_kinds_are_planted_in_every_plain_demonstration(host: Host, demonstrations: list) -> None:
    plain = [d for d in demonstrations if d.draft is None]
    judged = judge([d.example for d in plain], [d.response for d in plain], host.get("rubric", "bbh"), METRICS)
    right = {True: [], False: []}
    for d, j in zip(plain, judged, strict=True):
        right[d.example.info["planted"]].append(j.metrics[ROBUST])
    assert sum(bool(k.planted) for k in world.KINDS) * 2 == len(world.KINDS)
    assert sum(right[True]) == 0
    assert 0.85 < sum(right[False]) / len(right[False]) < 1
    missed = [j.criteria for d, j in zip(plain, judged, strict=True) if d.example.info["planted"]]
    assert all(not c["steps_valid"] or not c["steps_match"] for c in missed)  # so guidance has a step to name
    assert Counter(len(c) for c in missed) == {5: len(missed)}


def test_guided_demonstrations_are_right_for_all_kinds(host: Host, demonstrations: list) -> None:
    guided = [d for d in demonstrations if d.draft is not None]
    judged = judge([d.example for d in guided], [d.response for d in guided], host.get("rubric", "bbh"))
    assert {j.reward for j in judged} == {1.0}
    assert {(d.example.info["family"], d.example.info["variant"]) for d in guided} == {
        (k.family, k.variant) for k in world.KINDS
    }


def test_guidance_never_gives_the_final_answer(host: Host, demonstrations: list) -> None:
    """Whatever of the target stands in the guidance was in the item or in the draft itself."""
    guided = [d for d in demonstrations if d.draft is not None]
    rubric = host.get("rubric", "bbh")
    judged = judge([d.example for d in guided], [d.draft for d in guided], rubric)
    told = 0
    for d, j in zip(guided, judged, strict=True):
        for level in HINT_LEVELS:
            given = (rubric, d.example, d.draft, j.verdicts, level)
            words = "\n".join(write_guidance(template.TEMPLATE, *given, form=f) for f in ("prompt", "with_draft"))
            told += bool(words)
            target = re.compile(rf"(?<![\w.-]){re.escape(d.example.target)}(?!\w)", re.IGNORECASE)
            if target.search(words):
                assert target.search(d.example.info["input"] + "\n" + d.draft), (words, d)
            assert not re.search(rf"answer (?:is|should be) {re.escape(d.example.target)}", words)
    assert told > 2 * len(guided)


def test_the_task_carries_the_world() -> None:
    assert TASK.world is world.WORLD
    assert "overlooked" in TASK.world.planted
