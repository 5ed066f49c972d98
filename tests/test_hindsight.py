import json
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench.errors import UsageError
from herl_bench.hindsight import (
    HINT_LEVELS,
    Hindsight,
    HindsightBuffer,
    choose_form,
    find_first_error,
    try_template,
    write_guidance,
    write_revision,
    write_revision_prompt,
)
from herl_bench.rubric import CHECKS, judge
from herl_bench.types import ChatTurns, Criterion, Example, HindsightTemplate, Rubric, Verdict

EXAMPLE = Example("t/1", "What is 2+2?", "4")
RUBRIC = Rubric(
    "r",
    [
        Criterion("form", "Write a number.", lambda e, r: True),
        Criterion("steps", "Each step is right.", lambda e, r: True, needs_reference=True),
    ],
)
VERDICTS = [
    Verdict("form", False, "no digit", "write digits", "line 1"),
    Verdict("steps", False, "2+2=5", "2+2 is not 5", "step 1"),
    Verdict("steps", None, error="broken"),
    Verdict("steps", True, part="step 2"),
]
SHOW_ALL = HindsightTemplate(
    "all",
    "{{ level }}{% for v in unmet %}|{{ v.criterion }};{{ v.text }};{{ v.part }};{{ v.evidence }};{{ v.correction }}{%"
    " endfor %}{% for v in met %}|met {{ v.part }}{% endfor %}|{{ draft }}",
    "{{ example.prompt }}{% if draft is not none %} you wrote {{ draft }}{% endif %}: {{ guidance }}",
)


def test_each_level_shows_what_the_one_before_does_and_more():
    said = {level: write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS, level) for level in HINT_LEVELS}
    assert (
        said["criteria"] == "criteria|form;Write a number.;line 1;;|steps;Each step is right.;step 1;;|met step 2|five"
    )
    assert "no digit" in said["evidence"]
    assert "write digits" not in said["evidence"]
    assert "no digit" in said["reference"]
    assert "2+2 is not 5" in said["reference"]


def test_undecided_verdicts_are_never_shown():
    assert "broken" not in write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS)
    assert write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS[2:]) == ""


def test_without_the_reference_only_criteria_that_do_not_need_it_speak():
    said = write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS, reference_free=True)
    assert "form" in said
    assert "steps" not in said
    assert write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS[1:], reference_free=True) == ""


def test_the_prompt_of_a_revision_with_and_without_the_draft():
    assert write_revision_prompt(SHOW_ALL, EXAMPLE, "count", "five") == "What is 2+2? you wrote five: count"
    assert write_revision_prompt(SHOW_ALL, EXAMPLE, "count", None) == "What is 2+2?: count"


TALKING = replace(
    SHOW_ALL,
    turns=ChatTurns(
        "Wrong: {{ unmet[0].evidence }}.",
        "{% if cut %}So far so good. {% endif %}{{ guidance }} {{ 'Again' if draft else 'Answer' }}.",
        "Please: {{ example.prompt }}\n",
    ),
)


def test_a_conversation_with_the_draft_without_it_and_with_its_right_beginning():
    words = write_guidance(TALKING, RUBRIC, EXAMPLE, "five", VERDICTS, form="with_draft")
    assert words == "Wrong: no digit."
    write = partial(write_revision, TALKING, EXAMPLE, words)
    alone = (("user", "Please: What is 2+2?\n\nWrong: no digit. Answer."),)
    assert write("right, wrong", "with_draft") == (
        ("user", "Please: What is 2+2?\n"),
        ("assistant", "right, wrong"),
        ("user", "Wrong: no digit. Again."),
    )
    assert write("right, wrong", "without_draft") == alone
    assert write("right, wrong", "cut_draft", 6)[1:] == (
        ("assistant", "right,"),
        ("user", "So far so good. Wrong: no digit. Again."),
    )
    for draft, form, error_at in (
        ("right, wrong", "cut_draft", None),
        ("\n right, wrong", "cut_draft", 2),
        (None, "with_draft", None),
        (None, "cut_draft", 6),
        (" ", "with_draft", None),
        ("<think>", "with_draft", None),
    ):
        assert write(draft, form, error_at) == alone
    assert write("five", "prompt") == "What is 2+2? you wrote five: Wrong: no digit."


def test_a_template_of_one_form_is_quoted_in_a_neutral_conversation():
    words = write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS, form="without_draft")
    assert words == write_guidance(SHOW_ALL, RUBRIC, EXAMPLE, "five", VERDICTS)
    (alone,) = write_revision(SHOW_ALL, EXAMPLE, "count", "five", "without_draft")
    assert alone.text.startswith("What is 2+2?\n\nAn earlier answer to this was not good enough.")
    for form, opening in (("with_draft", "That is not good enough yet."), ("cut_draft", "Up to here that was right.")):
        problem, draft, request = write_revision(SHOW_ALL, EXAMPLE, "count", "five", form, 2)
        assert (problem.text, draft.text) == ("What is 2+2?", "five" if form == "with_draft" else "fi")
        assert request.text.startswith(opening)
        assert "\n\ncount\n\n" in request.text


def test_the_first_error_is_where_a_check_says_and_the_level_allows():
    places = [("form", False, 9), ("steps", False, 4), ("steps", True, 1), ("form", None, 0), ("form", False, None)]
    verdicts = [Verdict(name, met, at=at) for name, met, at in places]
    assert find_first_error(RUBRIC, verdicts) == 4
    assert find_first_error(RUBRIC, verdicts, "evidence", reference_free=True) == 9
    assert find_first_error(RUBRIC, verdicts, "criteria") is None
    assert find_first_error(RUBRIC, verdicts[2:]) is None


def test_the_form_goes_by_the_model():
    assert (choose_form("auto", False), choose_form("auto", True)) == ("prompt", "without_draft")
    assert choose_form("prompt", True) == "prompt"
    with pytest.raises(UsageError, match="revise_form=with_draft: this model has no chat template"):
        choose_form("with_draft", False)


@pytest.mark.parametrize(
    "source",
    [
        "{{ nobody }}",
        "{% for %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ example.nothing }}",
        "{{ 1 / 0 }}",
        "{{ draft + 1 }}",
        "{{ level() }}",
    ],
)
def test_a_bad_template_is_named_with_field_and_line(source):
    for fields in (
        {"guidance": f"a\n{source}", "prompt": ""},
        {"guidance": "", "prompt": f"\n{source.replace('level', 'guidance')}\n"},
    ):
        template = HindsightTemplate("bad", **fields)
        with pytest.raises(
            UsageError, match=rf"hindsight template 'bad': {'guidance' if fields['guidance'] else 'prompt'}, line 2: \S"
        ):
            try_template(template, RUBRIC, [EXAMPLE])
    with pytest.raises(UsageError, match="hindsight template 'bad': guidance, line 1: "):
        write_guidance(HindsightTemplate("bad", source, ""), RUBRIC, EXAMPLE, "x", VERDICTS)


def test_what_fails_at_one_level_or_without_a_draft_is_found_too():
    try_template(SHOW_ALL, RUBRIC, [EXAMPLE])
    for template in (
        HindsightTemplate("t", "{% if level == 'evidence' %}{{ nobody }}{% endif %}", ""),
        HindsightTemplate("t", "{% for v in unmet %}{{ v.correction[0] }}{% endfor %}", ""),
        HindsightTemplate("t", "", "{{ draft.strip() }}"),
        HindsightTemplate("t", None, ""),
        HindsightTemplate("t", "", "", turns=ChatTurns("{{ nobody }}", "")),
        HindsightTemplate("t", "", "", turns=ChatTurns("", "{{ draft.strip() }}")),
        HindsightTemplate("t", "", "", turns=ChatTurns("", "{% if cut %}{{ nobody }}{% endif %}")),
        HindsightTemplate("t", "", "", turns=ChatTurns("", "", "{{ guidance }}")),
        HindsightTemplate("t", "", "", turns="words"),
    ):
        with pytest.raises(UsageError, match="hindsight template 't': "):
            try_template(template, RUBRIC, [EXAMPLE])


def test_a_criterion_s_text_is_there_at_every_level_and_for_checks_without_evidence():
    template = HindsightTemplate(
        "t", "{% for v in unmet %}{{ v.text }}{% if v.evidence %} Seen: {{ v.evidence }}.{% endif %} {% endfor %}", ""
    )
    checks = {"regex": {"pattern": "^Answer"}, "max_words": {"words": 5}, "json": {}}
    texts = {
        "regex": "Begin with the word Answer.",
        "max_words": "Use at most 5 words.",
        "json": "The whole response is JSON.",
    }
    by_name = {check.name: check for check in CHECKS}
    rubric = Rubric(
        "general", [Criterion(n, texts[n], partial(by_name[n].function, **given)) for n, given in checks.items()]
    )
    draft = "one two three four five six"
    (judgement,) = judge([EXAMPLE], [draft], rubric)
    said = write_guidance(template, rubric, EXAMPLE, draft, judgement.verdicts, "evidence")
    assert said.startswith(
        "Begin with the word Answer. Use at most 5 words. Seen: 6 words. The whole response is JSON. Seen: not JSON"
    )
    assert write_guidance(template, rubric, EXAMPLE, draft, judgement.verdicts, "criteria") == " ".join(texts.values())


# --------------------------------------------------------------------------------------------------------------- buffer
def lesson(number, prompt="a prompt", example=None):
    return Hindsight(example or f"e{number}", prompt, f"draft {number}", f"guidance {number}", 0.25, "revision", 1.0)


def test_same_finds_only_lessons_about_this_very_prompt():
    buffer = HindsightBuffer()
    buffer.add([lesson(0, example="t/1"), lesson(1, example="t/2"), lesson(2, example="t/1")])
    drawn = {buffer.draw_same(EXAMPLE, Random(i)).draft for i in range(20)}
    assert drawn == {"draft 0", "draft 2"}
    assert buffer.draw_same(Example("t/9", "", ""), Random(0)) is None


def test_similar_finds_the_nearest_other_prompts():
    buffer = HindsightBuffer()
    cooking = [
        lesson(i, f"stir the soup with {n} onions", f"soup/{i}") for i, n in enumerate(["two", "three", "four", "five"])
    ]
    buffer.add([*cooking, *(lesson(i, f"drive a train to station {i}", f"train/{i}") for i in range(10, 20))])
    query = Example("soup/0", "stir the soup with two onions", "")
    drawn = {buffer.draw_similar(query, Random(i), k=3).example_id for i in range(40)}
    assert drawn == {"soup/1", "soup/2", "soup/3"}, "not itself, and nothing about trains"
    assert buffer.draw_similar(Example("x", "entirely foreign words", ""), Random(0)) is None
    assert HindsightBuffer().draw_similar(query, Random(0)) is None


def test_similar_sees_what_was_added_after_a_first_search():
    buffer = HindsightBuffer()
    buffer.add([lesson(0, "green apples")])
    buffer.draw_similar(Example("x", "red pears", ""), Random(0))
    buffer.add([lesson(1, "red pears and plums")])
    assert buffer.draw_similar(Example("x", "red pears", ""), Random(0)).draft == "draft 1"


@given(st.integers(1, 5), st.lists(st.integers(0, 4), max_size=8))
def test_the_oldest_lessons_are_dropped(capacity, sizes):
    buffer, everything = HindsightBuffer(capacity), []
    for size in sizes:
        batch = [lesson(len(everything) + i) for i in range(size)]
        everything += batch
        buffer.add(batch)
        assert len(buffer) <= capacity
    assert [row["draft"] for row in buffer.state_dict()["lessons"]] == [h.draft for h in everything[-capacity:]]


@given(
    st.lists(st.sampled_from(["red pears", "green apples", "blue plums and pears"]), min_size=1, max_size=6),
    st.integers(0, 5),
)
def test_the_same_lessons_and_seed_give_the_same_draws_also_after_saving(prompts, seed):
    buffer, restored = HindsightBuffer(50), HindsightBuffer(1)
    buffer.add([lesson(i, p, f"e{i % 2}") for i, p in enumerate(prompts)])
    restored.load_state_dict(json.loads(json.dumps(buffer.state_dict())))
    query = Example("e0", "red pears", "")
    for draw in (HindsightBuffer.draw_same, HindsightBuffer.draw_similar):
        one, two = Random(seed), Random(seed)
        assert [draw(buffer, query, one) for _ in range(5)] == [draw(restored, query, two) for _ in range(5)]


def test_a_buffer_holds_at_least_one_lesson():
    with pytest.raises(UsageError, match="at least 1, not 0"):
        HindsightBuffer(0)
