"""The synthetic world of BBH: its items are right, its sides disjoint, its misconceptions planted, its guidance
discreet."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from herl_bench.hindsight import HINT_LEVELS, write_guidance
from herl_bench.plugins import Host, load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_bbh")
from herl_bench_bbh import METRICS, TASK, gold, solvers, template, world
from herl_bench_bbh.orders import MOVES, find_move
from herl_bench_bbh.rules import Listing

ROBUST = METRICS[0].key
DIALS = (0.0, world.DIFFICULTY, 1.0)
STREAMS = pytest.mark.parametrize("stream", [world.make_examples, world.make_single], ids=["rules", "single"])


@pytest.fixture(scope="module")
def host() -> Host:
    host = load_host()
    host.collect_all()
    return host


@pytest.fixture(scope="module")
def demonstrations() -> list:
    return list(islice(world.WORLD.demonstrations(3), 1500))


@STREAMS
@pytest.mark.parametrize("dial", DIALS)
def test_worked_solutions_are_right_and_meet_all_criteria(host: Host, stream: Any, dial: float) -> None:
    made = list(islice(stream("train", 5, dial), 300))
    solved = [(e, solvers.solve(e.info["family"].partition("/")[0], e.info["input"])) for e in made]
    assert [e.id for e, answer in solved if answer != (None if "rule" in e.info else e.target)] == []
    judged = judge(made, [gold(e) for e in made], host.get("rubric", "bbh"), METRICS)
    assert [
        (e.id, j.verdicts) for e, j in zip(made, judged, strict=True) if j.reward != 1 or len(j.criteria) != 5
    ] == []


def test_the_sides_are_disjoint_for_every_seed_and_difficulty() -> None:
    seen = {
        split: {
            e.prompt.lower()
            for stream in (world.make_examples, world.make_single)
            for seed in (0, 1)
            for dial in DIALS
            for e in islice(stream(split, seed, dial), 200)
        }
        for split in ("train", "eval")
    }
    assert not seen["train"] & seen["eval"]
    assert min(map(len, seen.values())) > 1500


@STREAMS
def test_a_seed_gives_the_same_items_again(stream: Any) -> None:
    def take(seed: int) -> list:
        return list(islice(stream("eval", seed, 0.3), 60))

    assert take(1) == take(1)
    assert [e.prompt for e in take(1)] != [e.prompt for e in take(2)]


@STREAMS
def test_difficulty_lengthens_the_work(stream: Any) -> None:
    def length(dial: float) -> float:
        made = list(islice(stream("train", 0, dial), 400))
        return sum(len(gold(e)) for e in made) / len(made)

    assert length(0.0) < length(0.5) < length(1.0)


# ------------------------------------------------------------------------------------------------------- named orders
def test_half_of_the_items_are_rules_each_its_own_family_in_every_wording() -> None:
    made = list(islice(world.make_examples("eval", 0, world.DIFFICULTY), 1500))
    rules = [e for e in made if e.info["planted"]]
    assert 0.45 < len(rules) / len(made) < 0.55
    assert {e.info["family"] for e in rules} == {f"word_sorting/{rule.name}" for rule in world.RULES}
    assert {(e.info["rule"], e.info["move"]) for e in rules} == {(f"{r.name} order", r.right.text) for r in world.RULES}
    assert 0.08 < sum(e.info["held_out"] for e in rules) / len(rules) < 0.2
    assert all(e.info["move"] not in e.prompt for e in rules)


def test_no_two_rules_share_a_move_nor_a_habit_and_none_has_its_own_for_a_habit() -> None:
    assert {r.right for r in world.RULES} == {r.habit for r in world.RULES} == set(MOVES)
    assert all(r.right is not r.habit for r in world.RULES)


def test_no_demonstration_of_a_rule_shows_its_right_move(demonstrations: list) -> None:
    """Nor does any have the wording that is held out. Plain ones have its habit; guided ones any other move."""
    rules = {rule.name: rule for rule in world.RULES}
    named = [d for d in demonstrations if d.example.info.get("rule") in rules]
    assert not [d for d in demonstrations if "What is this list" in d.example.prompt]
    for d in named:
        rule = rules[d.example.info["rule"]]
        assert rule.right.text not in d.response + (d.draft or "")
        assert d.draft is not None or find_move(d.response) is rule.habit
    assert {find_move(d.response) for d in named if d.draft is not None} == set(MOVES)


def test_guidance_names_the_right_move_at_reference_what_it_hangs_on_at_evidence_and_neither_at_criteria(
    host: Host,
) -> None:
    rubric = host.get("rubric", "bbh")
    rules = {f"{rule.name} order": rule for rule in world.RULES}
    made = [e for e in islice(world.make_examples("eval", 0, world.DIFFICULTY), 60) if e.info["planted"]]
    for e in made:
        rule, text = rules[e.info["rule"]], e.info["input"]
        draft = Listing(text, tuple(text.rpartition("List: ")[2].split())).work(rule.habit)
        (judged,) = judge([e], [draft], rubric)
        assert {name for name, met in judged.criteria.items() if not met} == {"steps_match", "right_answer"}
        told = {
            level: write_guidance(template.TEMPLATE, rubric, e, draft, judged.verdicts, level) for level in HINT_LEVELS
        }
        assert told["reference"].endswith(f"{rule.right.text}.")
        assert told["evidence"].endswith(f"Seen: (2) is wrong about the {rule.right.about}.")
        assert told["criteria"].endswith("Unmet: The right steps are reached.")


# ------------------------------------------------------------------------------------------------------ demonstrations
def test_plain_demonstrations_of_planted_kinds_are_wrong_every_time(host: Host, demonstrations: list) -> None:
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


def test_guided_demonstrations_do_what_they_are_told(host: Host, demonstrations: list) -> None:
    guided = [d for d in demonstrations if d.draft is not None]
    judged = judge([d.example for d in guided], [d.response for d in guided], host.get("rubric", "bbh"))
    assert {j.reward for j in judged} == {1.0}
    variants = {(d.example.info["family"], d.example.info["variant"]) for d in guided}
    assert variants == {(k.family, k.variant) for k in world.KINDS} | {("word_sorting", "told or named")}
    told = [d.example.info["input"] for d in guided if d.example.info.get("rule") == ""]
    followed = [find_move(d.response) for d in guided if d.example.info.get("rule") == ""]
    otherwise = sum(find_move(text) is not move for text, move in zip(told, followed, strict=True))
    assert 0.2 < otherwise / len(told) < 0.8


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
