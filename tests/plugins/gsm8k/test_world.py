"""The synthetic word problems: right, disjoint, stable, planted as said, and what the embedded policy makes of them."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k import TASK, checks, data, families, rules, template, world

from herl_bench import Demonstration
from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.plugins import Host, load_host
from herl_bench.rubric import judge


@pytest.fixture(scope="module")
def host() -> Host:
    host = load_host()
    host.collect_all()
    return host


@pytest.mark.parametrize("make", [world.make_examples, world.make_single])
@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_every_solution_meets_the_rubric(host: Host, make: Any, difficulty: float) -> None:
    examples = list(islice(make("train", 1, difficulty), 300))
    judgements = judge(examples, [TASK.gold(e) for e in examples], host.get("rubric", "gsm8k"), checks.METRICS)
    assert all(j.reward == 1 and not j.errors and set(j.metrics.values()) == {1.0} for j in judgements)


def test_problems_are_read_like_the_published_ones() -> None:
    for example in islice(world.make_examples("eval", 0, 0.5), 50):
        again = data.build_example({"question": example.info["question"], "answer": example.target}, "test", 0, "here")
        assert (again.prompt, again.target, again.info["steps"]) == (
            example.prompt,
            example.target,
            example.info["steps"],
        )
        assert again.info["answer"] == example.info["answer"]


def test_splits_are_disjoint_for_all_seeds_and_difficulties() -> None:
    def keys(split: str) -> set[tuple[str, tuple[int, ...]]]:
        kinds = (world.draw_plain_or_rule, world.draw_plain_or_single)
        dials = [(seed, d, kind) for seed in (0, 7) for d in (0.0, 0.5, 1.0) for kind in kinds]
        streams = [world.draw_problems(split, seed, d, kind) for seed, d, kind in dials]  # type: ignore[arg-type]
        return {(p.family.name, p.numbers) for stream in streams for p in islice(stream, 200)}

    assert not keys("train") & keys("eval")


def test_ids_are_unique_and_streams_repeat() -> None:
    first = list(islice(world.make_examples("train", 3, 0.5), 1000))
    assert len({e.id for e in first}) == len({e.prompt for e in first}) == 1000
    assert first == list(islice(world.make_examples("train", 3, 0.5), 1000))
    assert first[:5] != list(islice(world.make_examples("train", 4, 0.5), 5))


def test_the_dial_makes_problems_longer_and_larger() -> None:
    def size(difficulty: float) -> tuple[float, float]:
        made = list(islice(world.make_examples("train", 0, difficulty), 300))
        return sum(len(e.info["steps"]) for e in made) / 300, sum(
            int(v) for e in made for _, v in e.info["steps"]
        ) / 300

    assert size(0.0) < size(0.5) < size(1.0)
    assert (size(0.0)[0], size(1.0)[0]) == (2.0, 3.0)


def test_half_of_the_problems_are_planted() -> None:
    assert len(families.FAMILIES) == len({f.name for f in families.FAMILIES}) == 24
    assert (len(world.PLAIN), len(world.SINGLE)) == (12, 12)
    plain = {f.name for f in world.PLAIN}
    for make, planted in (
        (world.make_single, {f.name for f in world.SINGLE}),
        (world.make_examples, {rules.name_family(rule.name) for rule in rules.RULES}),
    ):
        made = list(islice(make("eval", 0, 0.5), 800))
        assert {e.info["family"] for e in made if e.info["planted"]} == planted
        assert {e.info["family"] for e in made if not e.info["planted"]} == plain
        assert 0.45 < sum(e.info["planted"] for e in made) / 800 < 0.55


def test_each_move_is_right_for_one_rule_and_wrong_for_another() -> None:
    assert len(set(rules.MOVES)) == len(rules.RULES) == len({rule.name for rule in rules.RULES}) == 12
    assert {rule.wrong for rule in rules.RULES} == set(rules.MOVES)
    assert not any(rule.right == rule.wrong for rule in rules.RULES)
    assert not {rule.name for rule in rules.RULES} & set(rules.OTHER_NAMES)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_the_moves_of_a_rule_end_in_twelve_answers(difficulty: float) -> None:
    drawn = world.draw_problems("eval", 0, difficulty, rules.draw_rule)
    for problem in islice(drawn, 100):
        where, _ = problem.family.planted or (0, "")
        solutions = [problem.write_solution(problem.make_move(where, move)) for move in rules.MOVES]
        assert len({checks.parse(solution).answer for solution in solutions}) == 12
        example = problem.build_example("eval")
        assert example.info["rule"] in example.info["question"]
        assert {rule.name: rule.right for rule in rules.RULES}[example.info["rule"]] == example.info["move"]


def test_plain_demonstrations_are_always_misconceived_where_planted_and_guided_ones_as_told(host: Host) -> None:
    made = list(islice(world.make_demonstrations(0), 3000))
    judgements = judge([d.example for d in made], [d.response for d in made], host.get("rubric", "gsm8k"))
    right: dict[tuple[bool, bool], list[bool]] = {}
    for d, j in zip(made, judgements, strict=True):
        right.setdefault((d.example.info["planted"], d.draft is not None), []).append(j.reward == 1)
    assert not any(right[True, False])
    assert all(right[True, True] + right[False, True])
    assert 0.75 < sum(right[False, False]) / len(right[False, False]) < 0.92


def test_no_demonstration_makes_the_right_move_of_a_rule_or_has_the_wording_held_out() -> None:
    rules_shown = [d for d in islice(world.make_demonstrations(0), 6000) if "rule" in d.example.info]
    right, wrong = ({rule.name: getattr(rule, which) for rule in rules.RULES} for which in ("right", "wrong"))
    told: dict[str, set[str]] = {name: set() for name in right}
    for d in rules_shown:
        name, move = d.example.info["rule"], d.example.info["move"]
        assert not d.example.info["held_out"]
        if d.draft is None:
            assert move == right[name] != wrong[name], "the example is right, its answer is not"
        elif name in told:
            told[name].add(move)
    assert all(right[name] not in moves and len(moves) > 5 for name, moves in told.items())


def test_problems_are_told_in_all_wordings() -> None:
    for split in ("train", "eval"):
        made = [e for e in islice(world.make_examples(split, 0, 0.5), 600) if e.info["planted"]]  # type: ignore[arg-type]
        assert 0.04 < sum(e.info["held_out"] for e in made) / len(made) < 0.15


def test_some_guided_demonstrations_are_told_otherwise() -> None:
    made = islice(world.make_demonstrations(0), 3000)
    guided = [d for d in made if d.draft is not None and "rule" not in d.example.info]
    by_family = {f.name: f for f in families.FAMILIES}

    def as_the_words_say(d: Demonstration) -> bool:
        events = by_family[d.example.info["family"]].events
        patterns = [re.sub("[xb]", r"\\d+", re.escape(event.move)) for event in events]
        steps = [expression for expression, _ in d.example.info["steps"]]
        return all(re.fullmatch(pattern, step) for pattern, step in zip(patterns, steps, strict=False))

    assert 0.6 < sum(map(as_the_words_say, guided)) / len(guided) < 0.8


def test_every_draft_leaves_something_to_say(host: Host) -> None:
    made = [d for d in islice(world.make_demonstrations(1), 1000) if d.draft is not None]
    judgements = judge([d.example for d in made], [d.draft or "" for d in made], host.get("rubric", "gsm8k"))
    assert all(j.reward is not None and j.reward < 1 for j in judgements)
    missed = Counter(name for j in judgements for name, met in j.criteria.items() if met is False)
    assert all(missed[name] > 20 for name in ("answer_format", "steps_valid", "quantities", "final_answer"))


STORIES = [rules.tell(rules.RULES[0], story, wording) for story in rules.STORIES for wording in rules.WORDINGS[-1:]]


@pytest.mark.parametrize("family", [*families.FAMILIES, *STORIES], ids=lambda f: f"{f.name}: {f.opening}")
def test_a_solution_says_each_step_of_its_family(family: families.Family) -> None:
    problem = next(world.draw_problems("train", 5, 1.0, lambda rng: family))
    lines = problem.write_solution(problem.right).splitlines()
    assert [line.startswith("#### ") for line in lines] == [False, False, False, True]
    assert "{" not in problem.question + problem.write_solution(problem.right)
    assert problem.question.count("?") == 1


def test_embedded_policy_is_small_and_complete() -> None:
    folder = Path(world.__file__).parent / "policy"
    if TASK.policy is None:
        pytest.skip("no embedded policy here")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in folder.iterdir()}
    assert sum(p.stat().st_size for p in folder.iterdir()) < 2_700_000


def test_prompts_are_short_for_the_embedded_policy(host: Host) -> None:
    if TASK.policy is None:
        pytest.skip("no embedded policy here")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TASK.policy / "tokenizer.json"))
    rubric, world_ = host.get("rubric", "gsm8k"), TASK.world
    assert world_ is not None
    made = list(islice(world.make_demonstrations(9), 400))
    guided = [d for d in made if d.draft is not None]
    judgements = judge([d.example for d in guided], [d.draft or "" for d in guided], rubric)
    told = [
        write_guidance(template.TEMPLATE, rubric, d.example, d.draft or "", j.verdicts)
        for d, j in zip(guided, judgements, strict=True)
    ]
    prompts = [
        write_revision_prompt(template.TEMPLATE, d.example, words, d.draft)
        for d, words in zip(guided, told, strict=True)
    ]

    def lengths(texts: list[str]) -> list[int]:
        return [len(encoded.ids) for encoded in tokenizer.encode_batch(texts)]

    assert max(lengths([d.example.prompt for d in made])) < 120
    assert sum(lengths(prompts)) / len(prompts) < 200
    assert max(lengths([d.example.target for d in made])) < world_.max_new_tokens
