"""The plugin against its own promises: `pytest` in this folder, with the plugin installed.

Copy these with the plugin; they are short, and each of them has found a mistake in somebody's task: gold answers that
fail their own rubric, evaluation problems that are trained on, guidance that gives the answer away.
"""

from fractions import Fraction
from itertools import islice

import pytest
from herl_bench_reasoning_gym import METRICS, RUBRIC, TEMPLATE, checks, families, gold, world

from herl_bench import Example
from herl_bench.hindsight import HINT_LEVELS, write_guidance, write_revision, write_revision_prompt
from herl_bench.plugins import load_host
from herl_bench.rubric import judge

DIALS = (0.0, world.DIFFICULTY, 1.0)


def some(split="train", seed=0, difficulty=world.DIFFICULTY, count=150):
    return list(islice(world.make_examples(split, seed, difficulty), count))


def spoilt(example):
    """The worked solution with its first result one too high, as a slip would leave it, and everything after it as it
    was."""
    step = checks.read_steps(gold(example))[0]
    before, equals, after = gold(example).partition("=")
    return before + equals + after.replace(str(step.value), str(step.value + 1), 1)


def test_the_host_finds_it():
    host = load_host()
    host.collect_all()
    task = host.get("task", "reasoning_gym")
    for kind, name in (
        ("rubric", task.rubric),
        ("template", task.template),
        *(("metric", name) for name in task.metrics),
    ):
        assert host.get(kind, name)
    assert not [problem for problem in host.problems if "reasoning" in str(problem)]


@pytest.mark.parametrize("difficulty", DIALS)
def test_gold_answers_meet_every_criterion(difficulty):
    made = some(difficulty=difficulty)
    assert {e.info["family"] for e in made} == {family.name for family in families.FAMILIES}
    for example, found in zip(made, judge(made, [gold(e) for e in made], RUBRIC, METRICS), strict=True):
        assert (found.reward, len(found.criteria), set(found.metrics.values())) == (1.0, 4, {1.0}), example


def test_training_never_sees_an_evaluation_problem():
    sides = [{e.prompt for seed in (0, 1) for d in DIALS for e in some(split, seed, d)} for split in ("train", "eval")]
    assert not sides[0] & sides[1]
    assert min(map(len, sides)) > 700


def test_a_seed_gives_the_same_problems_again():
    assert some("eval", 5) == some("eval", 5)
    assert [e.prompt for e in some("eval", 5)] != [e.prompt for e in some("eval", 6)]
    assert len({e.id for e in some()}) == 150


def test_demonstrations_are_worked_solutions_of_training_problems():
    for shown in islice(world.make_demonstrations(3), 100):
        assert (shown.response, shown.draft) == (gold(shown.example), None)
        assert world.choose_side(shown.example.info["question"]) == "train"


@pytest.mark.parametrize(
    ("left", "value"),
    [("2 + 3 * 4", 14), ("27-7-14", 6), ("-4 + 7", 3), ("96/12", 8), ("80 * 0.75", 60), ("98 % 58", 40),
     ("7 x 8 ÷ 4", 14), ("3 - -2", 5), ("1/3", Fraction(1, 3)), ("5 / 0", None), ("5 % 0", None),
     ("h in hundred", 1), ("N in banana", 2)],
)  # fmt: skip
def test_values(left, value):
    assert checks.calculate(left) == value


def test_reading_prose():
    text = (
        "They eat 4 + 7 = 12 rolls, tennis balls:48 * 0.75=36.\n5 = 5, x = 2, 1/0 = 3, 9999999999999 + 1 = 2\n#### 36"
    )
    assert [(s.left, s.value, s.right) for s in checks.read_steps(text)] == [
        ("4 + 7", 12, False), ("48 * 0.75", 36, True), ("1/0", 3, False),
    ]  # fmt: skip


def test_a_slip_is_seen_and_the_right_step_told():
    example = next(e for e in some() if e.info["family"] == "chain_sum")
    (found,) = judge([example], [spoilt(example)], RUBRIC, METRICS)
    first = checks.read_steps(gold(example))[0]
    unmet = [v for v in found.verdicts if not v.met]
    assert unmet[0].criterion == "steps_valid"
    assert unmet[0].evidence in (f"{first.left} is not {first.value + 1}", "calculation 1 is wrong")
    if first.value not in {s.value for s in checks.read_steps(spoilt(example))}:
        assert unmet[1].correction == f"step 1 should be {first.left}"
    assert found.metrics["solved,none"] == 1.0, "the answer stayed right; reward and metric are apart"
    assert found.reward < 1


def test_a_count_is_reached_by_that_word_only():
    solution = "a in banana = 3\na in cat = 1\n3 + 1 = 4\n#### 4"
    example = Example("e", "", "4", {"family": "letter_counting", "question": "", "solution": solution})
    (found,) = judge([example], ["a in banana = 3\na in dog = 1\n3 + 1 = 4\n#### 4"], RUBRIC)
    assert [(v.criterion, v.part, v.correction) for v in found.verdicts if not v.met] == [
        ("steps_valid", "2", ""), ("quantities", "2", "step 2 should be a in cat"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "response", ["", "####", "#### ", "12", "#### 3\n#### 4", "= = =", "####\n" * 50, "1 + " * 500, "\0é²½ = ½"]
)
def test_any_text_is_judged(response):
    for found in judge(some(count=10), [response] * 10, RUBRIC, METRICS):
        assert not found.errors
        assert found.metrics["solved,none"] in (0.0, 1.0)
        assert found.criteria["quantities"] is False


@pytest.mark.parametrize("level", HINT_LEVELS)
def test_guidance_never_gives_the_answer_away(level):
    made = some("eval", count=300)
    drafts = [spoilt(e).rpartition("####")[0] + "#### 0" for e in made]
    guided = 0
    for example, draft, found in zip(made, drafts, judge(made, drafts, RUBRIC), strict=True):
        words = write_guidance(TEMPLATE, RUBRIC, example, draft, found.verdicts, level)
        known = checks._find_numbers(example.info["question"]) | {
            Fraction(k) for k in range(1, 10)
        }  # steps are numbered
        assert not checks._find_numbers(example.target) & (checks._find_numbers(words) - known), (words, example.target)
        assert words.startswith("Unmet: ")
        assert words in write_revision_prompt(TEMPLATE, example, words, None)
        talk = write_guidance(TEMPLATE, RUBRIC, example, draft, found.verdicts, level, form="with_draft")
        assert not checks._find_numbers(example.target) & (checks._find_numbers(talk) - known), (talk, example.target)
        assert not any(criterion.text in talk for criterion in RUBRIC.criteria)
        assert talk in write_revision(TEMPLATE, example, talk, draft, "with_draft")[-1].text
        guided += "should be" in words
    assert (guided > 200) == (level == "reference")
