"""BBH's answers, metrics, solvers, step checks, template, reader and task; with HERL_BENCH_DATA on every published
item."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench import Example, Verdict
from herl_bench.data.leakage import check_leakage
from herl_bench.errors import DataError
from herl_bench.hindsight import HINT_LEVELS, find_first_error, write_guidance, write_revision, write_revision_prompt
from herl_bench.plugins import Host, load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_bbh")
from herl_bench_bbh import METRICS, TASK, answers, checks, data, gold, solvers, template

REAL = os.environ.get("HERL_BENCH_DATA")
published = pytest.mark.skipif(not REAL, reason="HERL_BENCH_DATA names no folder with the published files")

COUNTING = "I have two cats, a dog, a piano, and three pigs. How many animals do I have?"
SWAPPING = (
    "Alice, Bob, and Claire are playing a game. At the start of the game, they are each holding a ball: Alice has a red"
    " ball, Bob has a blue ball, and Claire has a pink ball.\nAs the game progresses, pairs of players trade balls."
    " First, Claire and Alice swap balls. Finally, Alice and Bob swap balls. At the end of the game, Bob has"
    " the\nOptions:\n(A) red ball\n(B) blue ball\n(C) pink ball"
)


def item(family: str, text: str, target: str = "") -> Example:
    return data.build_example({"input": text, "target": target or "?"}, family, 0, "here")


@pytest.fixture(scope="module")
def host() -> Host:
    host = load_host()
    host.collect_all()
    return host


@pytest.fixture(scope="module")
def real() -> list[Example]:
    assert REAL
    return data.read_all(Path(REAL))


# -------------------------------------------------------------------------------------------------------------- answers
@pytest.mark.parametrize(
    "answer", ["(C)", "C", "c", "(c).", "C) pink ball", "(C) pink ball", "the pink ball", "Pink Ball", "**(C)**"]
)
def test_an_option_is_known_however_it_is_written(answer: str) -> None:
    example = item("tracking_shuffled_objects_three_objects", SWAPPING, "(C)")
    assert answers.extract(example, f"So the answer is {answer}.") == "(C)"


@pytest.mark.parametrize(
    ("family", "text", "answer", "found"),
    [
        ("boolean_expressions", "not True is", "false", "False"),
        ("web_of_lies", "Question: Ann lies. Does Ann tell the truth?", "no, she lies", "no"),
        ("multistep_arithmetic_two", "((1)) =", "-1,204", "-1204"),
        ("multistep_arithmetic_two", "((1)) =", "-8.0", "-8"),
        ("dyck_languages", "close: Input: [ (", ")]", ") ]"),
        ("word_sorting", "Sort: List: b a", "A,  b", "a b"),
        ("formal_fallacies", "x\nOptions:\n- valid \n- invalid", "invalid", "invalid"),
        ("formal_fallacies", "x\nOptions:\n- valid \n- invalid", "Valid", "valid"),
    ],
)
def test_other_kinds_of_answer(family: str, text: str, answer: str, found: str) -> None:
    assert answers.extract(item(family, text), f"So the answer is {answer}.") == found


def test_an_answer_that_is_not_given_is_none() -> None:
    assert answers.extract(item("object_counting", COUNTING), "There are six of them.") is None


def test_the_last_answer_counts_for_us_and_the_first_for_lm_eval() -> None:
    example = item("object_counting", COUNTING, "6")
    response = "So the answer is 5. No: the answer is 6."
    assert answers.robust_match(example, response) == 1
    assert answers.exact_match(example, response) == 0


def test_options_cut_at_their_commas_are_allowed_together() -> None:
    example = item("movie_recommendation", "Which?\nOptions:\n(A) Monsters\n(B) Inc\n(C) Casablanca", "Monsters, Inc")
    assert answers.is_allowed(example, answers.canonicalize(example, "Monsters, Inc"))
    assert not answers.is_allowed(example, answers.canonicalize(example, "Monsters, Casablanca"))


@pytest.mark.parametrize(
    ("response", "found"),
    [("So the answer is (B).", "(B)"), ("So the answer is (B)", "(B"), ("the answer is 18", "1"), ("18", "[invalid]")],
)
def test_what_lm_eval_extracts_has_traps(response: str, found: str) -> None:
    assert answers.extract_as_lm_eval(response) == found


RESPONSES = st.lists(
    st.sampled_from(
        ["So the answer is ", "the answer is", "The answer is ", "(B)", "18", ".", "\n", " ", "True", "so ", "] )"]
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def lm_eval_filter() -> Any:
    import lm_eval
    import yaml
    from lm_eval.filters.extraction import RegexFilter

    folder = Path(lm_eval.__file__).parent / "tasks" / "bbh" / "cot_fewshot"
    steps = yaml.safe_load((folder / "_cot_fewshot_template_yaml").read_text())["filter_list"][0]
    assert steps["name"] == METRICS[1].filter
    return RegexFilter(regex_pattern=steps["filter"][0]["regex_pattern"])


def test_exact_match_equals_lm_eval(lm_eval_filter: Any) -> None:
    from lm_eval.api.metrics import exact_match_hf_evaluate

    @given(RESPONSES, st.sampled_from(["(B)", "18", "True", "] )"]))
    def agree(response: str, target: str) -> None:
        theirs = lm_eval_filter.apply([[response]], [{}])[0][0]
        assert answers.extract_as_lm_eval(response) == theirs
        score = exact_match_hf_evaluate(predictions=[theirs], references=[target])["exact_match"]
        assert answers.exact_match(item("object_counting", COUNTING, target), response) == score

    agree()


# -------------------------------------------------------------------------------------------------------------- solvers
@given(
    st.recursive(
        st.sampled_from(["True", "False"]),
        lambda e: st.one_of(
            e.map("not {}".format),
            st.tuples(e, st.sampled_from(["and", "or"]), e).map(" ".join),
            e.map("( {} )".format),
        ),
        max_leaves=12,
    )
)
def test_boolean_values_are_python_s(text: str) -> None:
    assert solvers.evaluate(text) == eval(text)


@given(st.recursive(st.integers(-9, 9).map(str), lambda e: st.one_of(
    st.tuples(e, st.sampled_from("+-*"), e).map(" ".join), e.map("({})".format)), max_leaves=12))  # fmt: skip
def test_numbers_are_python_s(text: str) -> None:
    assert solvers.evaluate(text) == eval(text)


@pytest.mark.parametrize(
    "text", ["", "1 +", "(1", "True + 1", "1 and 2", "x", "9" * 80, "not " * 399 + "True", "A", "* 3", "1 2"]
)
def test_what_is_no_expression_has_no_value(text: str) -> None:
    assert solvers.evaluate(text) in (None, False)  # 399 nots are an expression, should the machine's stack bear it


SOLVED = {name for name in data.SUBTASKS if re.sub(r"_(three|five|seven)_objects$", "", name) in solvers.READERS}


@published
@pytest.mark.parametrize("subtask", sorted(SOLVED))
def test_solvers_give_the_published_targets(real: list[Example], subtask: str) -> None:
    """Every item that is read is solved as published; all items are read, but for dates, whose wording is mostly beyond
    the reader."""
    items = [e for e in real if e.info["family"] == subtask]
    solved = {e.id: solvers.solve(subtask, e.info["input"]) for e in items}
    assert [e.id for e in items if solved[e.id] not in (None, e.target)] == []
    assert sum(s is not None for s in solved.values()) == (8 if subtask == "date_understanding" else len(items))


# ---------------------------------------------------------------------------------------------------------------- steps
NAVIGATE = (
    "If you follow these instructions, do you return to the starting point? Take 2 steps. Turn around. Take 2"
    " steps.\nOptions:\n- Yes\n- No"
)
ORDER = (
    "In a golf tournament, there were three golfers: Amy, Eli, and Eve. Eve finished above Amy. Eli finished below"
    " Amy.\nOptions:\n(A) Amy finished last\n(B) Eli finished last\n(C) Eve finished last"
)
LIES = "Question: Jim lies. Ann says Jim lies. Bob says Ann lies. Does Bob tell the truth?"
DATE = "Yesterday was 03/31/2015. What is the date tomorrow in MM/DD/YYYY?\nOptions:\n(A) 04/02/2015\n(B) 04/01/2015"
WORKED = [
    ("boolean_expressions", "not True and False is", "Z = not True and False = False and False = False."),
    (
        "multistep_arithmetic_two",
        "((2 + 3 * 4) - (5 - -1)) =",
        "A = 2 + 3 * 4 = 2 + 12 = 14. B = 5 - -1 = 6. A - B = 14 - 6 = 8.",
    ),
    (
        "navigate",
        NAVIGATE,
        (
            "(1) Take 2 steps: (0, 2), facing the positive y-axis.\n(2) Turn around: (0, 2), facing the negative"
            " y-axis.\n(3) Take 2 steps: (0, 0), facing the negative y-axis."
        ),
    ),
    (
        "web_of_lies",
        LIES,
        (
            "(1) Jim lies.\n(2) Ann says Jim lies. As we know from (1) that Jim lies, Ann tells the truth.\n"
            "(3) Bob says Ann lies, so Bob lies."
        ),
    ),
    ("object_counting", COUNTING, "- cats (2)\n- dog (1)\n- pigs (3)\nIn all: 2 + 1 + 3 = 6."),
    (
        "tracking_shuffled_objects_three_objects",
        SWAPPING,
        (
            "(0) At the start: Alice: red, Bob: blue, Claire: pink.\n(1) Claire and Alice swap balls: Alice: pink, Bob:"
            " blue, Claire: red.\n(2) Alice and Bob swap: Alice: blue, Bob: pink, Claire: red."
        ),
    ),
    (
        "word_sorting",
        "Sort the following words alphabetically: List: cow ant cat",
        (
            '"cow": "c" (3). "ant": "a" (1). "cat": "c" (3). '
            'The second letter: "cow": "o" (15). "cat": "a" (1). Hence "ant" < ["cat" < "cow"].'
        ),
    ),
    (
        "word_sorting",
        "Sort the following words like this. The last word goes to the front. List: cow ant cat bee",
        "(1) The list: 1 cow 2 ant 3 cat 4 bee.\n(2) The last word goes to the front: 4 bee 1 cow 2 ant 3 cat.",
    ),
    (
        "logical_deduction_three_objects",
        ORDER,
        (
            '(1) Eve finished above Amy: "(above) ? Eve ? Amy ? (below)".\n(2) Eli finished below Amy: "(above) ? Amy ?'
            ' Eli ? (below)".\n(3) Combining: "(above) Eve Amy Eli (below)".'
        ),
    ),
    (
        "dyck_languages",
        "Complete. Input: [ ( ) {",
        (
            "1: [ ; stack: [\n2: ( ; stack: [ (\n3: ) ; stack: [\n4: { ; stack: [ {\n"
            'We will need to pop out "{", "[" one by one.'
        ),
    ),
    ("date_understanding", DATE, "Yesterday was 03/31/2015, so today is 04/01/2015. Tomorrow is 04/02/2015."),
]
WRONG = [
    ("= False and False = False", "= not False = True", "not True and False = not False", 'Do "not True" first.'),
    ("2 + 3 * 4 = 2 + 12", "2 + 3 * 4 = 5 * 4", "2 + 3 * 4 = 5 * 4", 'Do "3 * 4" first.'),
    ("(3) Take 2 steps: (0, 0)", "(3) Take 2 steps: (0, 4)", "(3) gives (0, 4)", "From (0, 2): take 2 steps."),
    (
        "so Bob lies",
        "so Bob tells the truth",
        "(3) Bob tells the truth",
        "Ann tells the truth, and Bob says Ann lies: is that so?",
    ),
    ("cats (2)", "cats (1)", "cats (1)", "Read again: two cats."),
    (
        "Bob: pink, Claire: red",
        "Bob: blue, Claire: red",
        "(2) Alice: blue ball, Bob: blue ball, Claire: red ball",
        "Alice and Bob swap: each takes what the other had, the rest stays.",
    ),
    ('"ant" < ["cat" < "cow"]', '"ant" < ["cow" < "cat"]', "cow < cat", "Compare the second letters of cow and cat."),
    (
        "front: 4 bee 1 cow",
        "front: 1 cow 4 bee",
        "(2) gives cow bee ant cat",
        "Do it again: the last word goes to the front.",
    ),
    ("? Amy ? Eli ?", "? Eli ? Amy ?", "(2) has Eli Amy", "Put Amy before Eli."),
    ("3: ) ; stack: [", "3: ) ; stack: [ (", "3: ) ; stack: [ (", ") takes the last one off."),
    (
        "today is 04/01/2015",
        "today is 03/31/2015",
        "today is 03/31/2015",
        "The day given is yesterday, so count from it to today.",
    ),
]


@pytest.mark.parametrize(("family", "text", "worked"), WORKED, ids=[w[0] for w in WORKED])
def test_right_steps_are_met(family: str, text: str, worked: str) -> None:
    example = item(family, text)
    for check in (checks.steps_valid, checks.steps_match):
        found = check(example, worked)
        assert found
        assert [f for f in found if not f.met] == []


@pytest.mark.parametrize(("case", "wrong"), list(zip(WORKED, WRONG, strict=True)), ids=[w[0] for w in WORKED])
def test_a_wrong_step_is_found_with_its_correction(
    case: tuple[str, str, str], wrong: tuple[str, str, str, str]
) -> None:
    family, text, worked = case
    good, bad, evidence, correction = wrong
    assert good in worked
    missed = [f for f in checks.steps_valid(item(family, text), worked.replace(good, bad)) if not f.met]
    assert (missed[0].evidence, missed[0].correction) == (evidence, correction)


def test_steps_that_follow_from_a_misreading_do_not_match() -> None:
    worked = "- cats (2)\n- dog (1)\n- piano (1)\n- pigs (3)\n2 + 1 + 1 + 3 = 7."
    example = item("object_counting", COUNTING)
    assert all(f.met for f in checks.steps_valid(example, worked))
    assert [f.evidence for f in checks.steps_match(example, worked) if not f.met] == ["piano should not be listed"]


def test_steps_are_asked_for_only_where_the_item_has_a_worked_solution() -> None:
    example = item("object_counting", COUNTING, "6")
    bare = "So the answer is 6."
    assert checks.steps_valid(example, bare) == checks.steps_match(example, bare) == []
    worked = Example(
        example.id,
        example.prompt,
        "6",
        {**example.info, "solution": "- cats (2)\n- dog (1)\n- pigs (3)\n2 + 1 + 3 = 6."},
    )
    assert [f.evidence for f in checks.steps_match(worked, bare)] == ["the steps are missing"]


def test_subtasks_without_a_solver_have_no_step_checks() -> None:
    example = item("snarks", "Which?\nOptions:\n(A) x\n(B) y")
    assert checks.steps_valid(example, "(1) x: (0, 0).") == checks.steps_match(example, "(1) x: (0, 0).") == []


@given(
    family=st.sampled_from([w[:2] for w in WORKED]),
    response=st.text(alphabet='()[]{}<>=+-*:;,."\n 0123456789 TrueFalsenotandorAB', max_size=300),
)
def test_any_response_is_judged(family: tuple[str, str], response: str) -> None:
    example = item(*family, target="(A)")
    for check in checks.CHECKS:
        check.function(example, response)


@pytest.mark.parametrize(
    ("response", "met"),
    [
        ("So the answer is 6.", True),
        ("2 + 1 + 3 = 6. so the answer is 6.\n", True),
        ("So the answer is 6", False),
        ("So the answer is 6. I hope so", False),
        ("So the answer is 5. So the answer is 6.", False),
        ("6.", False),
        ("So the answer is", False),
    ],
)
def test_answer_form(response: str, met: bool) -> None:
    assert checks.answer_form(item("object_counting", COUNTING), response).met is met


def test_needs_reference_is_told_truthfully() -> None:
    """A check that needs no reference gives the same findings when target and solution are replaced."""
    for check in checks.CHECKS:
        told = []
        for target in ("6", "7"):
            example = item("object_counting", COUNTING, target)
            example = Example(
                example.id, example.prompt, target, {**example.info, "solution": f"So the answer is {target}."}
            )
            told.append(check.function(example, "- cats (2)\n- dog (1)\n2 + 1 = 6. So the answer is 6."))
        assert check.needs_reference or told[0] == told[1]
    assert [c.name for c in checks.CHECKS if c.needs_reference] == ["bbh.steps_match", "bbh.right_answer"]


# ------------------------------------------------------------------------------------------------------------- template
def test_guidance_names_the_first_wrong_step_only(host: Host) -> None:
    family, text, worked = WORKED[1]
    example = item(family, text, "8")
    draft = worked.replace("2 + 12 = 14", "5 * 4 = 20").replace("14 - 6 = 8", "20 - 6 = 14") + " So the answer is 14."
    rubric = host.get("rubric", "bbh")
    verdicts = judge([example], [draft], rubric)[0].verdicts
    assert (
        write_guidance(template.TEMPLATE, rubric, example, draft, verdicts)
        == 'Met: answer form, allowed option.\nUnmet: Each step follows. Seen: 2 + 3 * 4 = 5 * 4. Do "3 * 4" first.'
    )
    assert write_guidance(template.TEMPLATE, rubric, example, draft, verdicts, "criteria").endswith(
        "Unmet: Each step follows."
    )


def test_a_chat_model_is_told_in_sentences_what_is_wrong(host: Host) -> None:
    family, text, worked = WORKED[1]
    example, rubric = item(family, text, "8"), host.get("rubric", "bbh")
    draft = worked.replace("2 + 12 = 14", "5 * 4 = 20").replace("14 - 6 = 8", "20 - 6 = 14") + " So the answer is 14."
    verdicts = judge([example], [draft], rubric)[0].verdicts
    assert write_guidance(template.TEMPLATE, rubric, example, draft, verdicts, form="with_draft") == (
        'A step does not follow from what stands before it: 2 + 3 * 4 = 5 * 4. Do "3 * 4" first.'
        " The answer is wrong: 14 is not right."
    )
    assert find_first_error(rubric, verdicts) == draft.rfind("\n", 0, draft.index("5 * 4")) + 1
    for level in HINT_LEVELS:
        for names in ([c.name for c in rubric.criteria], *([c.name] for c in rubric.criteria)):
            unmet = [Verdict(name, False, "seen") for name in names]
            said = write_guidance(template.TEMPLATE, rubric, example, "", unmet, level, form="without_draft")
            assert said.endswith(".")
            assert not any(c.text in said for c in rubric.criteria)
    (alone,) = write_revision(template.TEMPLATE, example, "x", draft, "without_draft")
    assert alone.text.startswith(f"{text}\n\nAn earlier answer to this question is not right. x\n\n")


def test_the_revision_prompt_ends_as_the_prompt_does() -> None:
    example = item("object_counting", COUNTING)
    start = f"Q: {COUNTING}\n"
    assert example.prompt == start + "A: Let's think step by step.\n"
    assert (
        write_revision_prompt(template.TEMPLATE, example, "Unmet: x.", None)
        == start + "Unmet: x.\nA: Let's think step by step.\n"
    )
    assert (
        write_revision_prompt(template.TEMPLATE, example, "Unmet: x.", "d")
        == start + "Draft: d\nUnmet: x.\nA: Let's think step by step.\n"
    )


# ----------------------------------------------------------------------------------------------------------------- data
@published
def test_every_published_answer_meets_every_criterion(host: Host, real: list[Example]) -> None:
    judged = judge(real, [gold(e) for e in real], host.get("rubric", "bbh"), METRICS)
    assert len(real) == 6511
    lm_eval_takes_a_part_for_an_option = {"bbh/movie_recommendation/163", "bbh/ruin_names/99", "bbh/ruin_names/144"}
    for e, j in zip(real, judged, strict=True):
        missed = {key for key, value in j.metrics.items() if value != 1}
        assert (j.reward, j.errors) == (1, ())
        assert missed == ({"exact_match,flexible-extract"} if e.id in lm_eval_takes_a_part_for_an_option else set()), (
            e.id
        )
    assert [e.id for e in real if TASK.extract(e, gold(e)) is None] == []


@published
def test_the_published_targets_that_are_no_listed_option_are_three(real: list[Example]) -> None:
    odd = [e.id for e in real if answers.find_kind(e) == "letter" and not re.fullmatch(r"\([A-Z]\)", e.target)]
    assert odd == ["bbh/movie_recommendation/163", "bbh/ruin_names/99", "bbh/ruin_names/144"]


@published
def test_the_hash_split_keeps_siblings_together(real: list[Example]) -> None:
    training, evaluation = ([e for e in real if e.info["side"] == side] for side in ("train", "eval"))
    assert (len(training), len(evaluation)) == (5244, 1267)
    assert set(Counter(e.info["family"] for e in evaluation)) == set(data.SUBTASKS)
    gate = check_leakage(training, evaluation, endless=False).outcome
    assert gate["exact"] == 0
    assert gate["near"] <= 20


def test_duplicates_and_siblings_fall_on_one_side() -> None:
    asked = ["What is the date tomorrow in MM/DD/YYYY?", "What is the date a month ago in MM/DD/YYYY?"]
    sides = {
        data.extract_story("date_understanding", f"Jane was born on the {n}th of May 2001. {q}\nOptions:\n(A) {q}")
        for n in (4,)
        for q in asked
    }
    assert len(sides) == 1


def write(folder: Path, subtask: str, content: str) -> None:
    (folder / "bbh").mkdir(exist_ok=True)
    (folder / "bbh" / f"{subtask}.json").write_text(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "boolean_expressions.json: not JSON"),
        ("[]", 'this is not {"examples"'),
        (
            json.dumps({"examples": [{"input": "True is", "target": "True"}, {"input": "x"}]}),
            "boolean_expressions.json, item 1: `target` is missing",
        ),
        (json.dumps({"examples": [7]}), "item 0: an item is an object"),
        (
            json.dumps({"examples": [{"input": "True is", "target": "True"}]}),
            "causal_judgement.json is missing: get one with  curl",
        ),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    write(tmp_path, "boolean_expressions", content)
    with pytest.raises(DataError, match=re.escape(said)):
        TASK.read(tmp_path, "train")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bbh is missing: .* curl"):
        TASK.read(tmp_path, "eval")


def test_the_host_finds_everything(host: Host) -> None:
    assert [p for p in host.problems if "bbh" in p] == []
    assert host.get("task", "bbh") is TASK
    assert TASK.metrics == ("bbh/robust", "bbh/exact_match", "bbh/flexible", "bbh/strict")
    assert [c.name for c in host.get("rubric", "bbh").criteria] == [c.name.removeprefix("bbh.") for c in checks.CHECKS]
