import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from herl_bench.errors import UsageError
from herl_bench.hindsight import write_guidance
from herl_bench.locate import rubrics_path
from herl_bench.rubric import CHECKS, check_weights, is_undecided, judge, load_rubric, make_rubric_schema
from herl_bench.testing import TOY_TEMPLATE
from herl_bench.types import Check, Criterion, Example, Finding, Metric, Rubric

EXAMPLE = Example("t/1", "2+2=", "4", {"limit": 3})
KNOWN = {c.name: c for c in CHECKS}


def judged(*criteria, response="4", metrics=(), sandbox=None):
    return judge([EXAMPLE], [response], Rubric("r", criteria), metrics, sandbox)[0]


def giving(outcome, **fields):
    return Criterion("c", "text", lambda example, observed: outcome, **fields)


# -------------------------------------------------------------------------------------------------------------- judging
@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.lists(st.sampled_from([True, False, None]), max_size=4), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
@example([(85.88390151556032, [True, True, True], False)])
def test_reward_is_met_weight_over_applicable_weight(specs):
    """And there is none where a part that looks at the gold answer is undecided; what is undecided pays no more than
    what is unmet."""

    def reward_of(specs):
        return judged(
            *(
                Criterion(f"c{i}", "t", lambda e, r, p=parts: [Finding(m) for m in p], weight, needs_reference=looks)
                for i, (weight, parts, looks) in enumerate(specs)
            )
        ).reward

    shares = [(weight / len(parts), met) for weight, parts, _ in specs for met in parts]
    reward = reward_of(specs)
    if any(None in parts and looks for _, parts, looks in specs) or all(met is None for _, met in shares):
        assert reward is None
    else:
        assert reward == pytest.approx(sum(share for share, met in shares if met) / sum(share for share, _ in shares))
        assert 0 <= reward <= 1
        assert (
            reward
            <= reward_of([(weight, [bool(met) for met in parts], looks) for weight, parts, looks in specs]) + 1e-12
        )


@pytest.mark.parametrize("outcome", [True, False, None, Finding(True), [Finding(False), Finding(True, part="2")], []])
def test_what_a_check_may_return(outcome):
    verdicts = judged(giving(outcome)).verdicts
    expected = outcome if isinstance(outcome, list) else [outcome if isinstance(outcome, Finding) else Finding(outcome)]
    assert [v.met for v in verdicts] == [f.met for f in expected]
    assert [v.part for v in verdicts] == [f.part for f in expected]


@pytest.mark.parametrize("outcome", ["yes", 1, [True], {"met": True}])
def test_anything_else_is_an_error_and_never_an_unmet_criterion(outcome):
    judgement = judged(giving(outcome), giving(True))
    assert judgement.reward == 0.5
    assert "TypeError: a check returns" in judgement.errors[0]


def test_a_check_that_raises_is_counted_apart():
    def broken(example, response):
        raise ValueError("first line\nsecond line")

    judgement = judged(Criterion("c", "t", broken), giving(False))
    assert judgement.reward == 0.0
    assert judgement.errors == ("c: ValueError: first line",)


def test_observation_runs_once_per_batch_and_is_shared():
    calls = []

    def observe(examples, responses, sandbox):
        calls.append((len(examples), sandbox))
        return [f"{sandbox}:{r}" for r in responses]

    rubric = Rubric("r", [Criterion(n, "t", lambda e, seen: Finding(None, seen), observe=observe) for n in "ab"])
    metric = Metric("m", lambda e, seen: float(seen == "box:y"), observe=observe)
    done = judge([EXAMPLE] * 2, ["x", "y"], rubric, [metric], "box")
    assert calls == [(2, "box")]
    assert [j.metrics["m,none"] for j in done] == [0.0, 1.0]
    assert [j.verdicts[1].evidence for j in done] == ["box:x", "box:y"]


@pytest.mark.parametrize("observe", [lambda e, r, s: 1 / 0, lambda e, r, s: []])
def test_a_broken_observation_costs_only_those_who_use_it(observe):
    metrics = [
        Metric("m", lambda e, o: 1.0, observe=observe),
        Metric("n", lambda e, o: 1.0),
        Metric("k", lambda e, o: 1 / 0),
    ]
    judgement = judged(giving(True, observe=observe), giving(True), metrics=metrics)
    assert [v.met for v in judgement.verdicts] == [None, True]
    assert judgement.metrics == {"m,none": None, "n,none": 1.0, "k,none": None}


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("outcome", [True, False, None, [Finding(True), Finding(None)], []])
def test_what_has_no_weight_is_judged_and_does_not_pay(outcome, looks):
    paid = [
        Criterion("half", "t", lambda e, r: True),
        Criterion("whole", "t", lambda e, r: r == "right", 2, needs_reference=True),
    ]
    guide = Criterion("guide", "Be neat.", lambda e, r: outcome, weight=0, needs_reference=looks)
    for response, reward in (("right", 1), ("wrong", 1 / 3)):
        with_guide = judged(guide, *paid, response=response)
        assert with_guide.reward == judged(*paid, response=response).reward == pytest.approx(reward)
        assert with_guide.criteria.get("guide") == judged(replace(guide, weight=1)).criteria.get("guide")
        assert not is_undecided(with_guide, Rubric("r", [guide, *paid]), None)
    assert judged(guide, giving(None)).reward is None, "a guide decides nothing of what is paid for"
    rubric = Rubric("r", [guide, *paid])
    told = write_guidance(TOY_TEMPLATE, rubric, EXAMPLE, "right", judged(*rubric.criteria, response="right").verdicts)
    assert ("Be neat" in told) == (outcome is False)


def test_a_rubric_pays_for_something():
    check_weights(Rubric("r", [giving(True, weight=0.0), giving(True)]), "here")
    with pytest.raises(UsageError, match=r"^here: every weight is 0, so nothing is paid for: give one a weight"):
        check_weights(Rubric("r", [giving(True, weight=0)]), "here")
    with pytest.raises(UsageError, match=r"^here: c: weight=-1: write a number from 0 up$"):
        check_weights(Rubric("r", [giving(True), giving(True, weight=-1)]), "here")


@pytest.mark.parametrize("task", ["gsm8k", "humaneval", "bbh"])
def test_the_sparse_rubrics_guide_as_the_task_s_own_and_pay_for_the_outcome_alone(task):
    own, sparse = (
        yaml.safe_load((rubrics_path() / f"{name}.yaml").read_text())["criteria"] for name in (task, f"{task}-sparse")
    )
    guides = [{**criterion, "weight": 0} for criterion in own]
    if task == "humaneval":  # its last criterion has a part per test
        assert sparse[:-1] == guides
        assert (sparse[-1]["text"], sparse[-1].get("weight", 1)) == (own[-1]["text"], 1)
    else:
        assert sparse == [*guides[:-1], {k: v for k, v in own[-1].items() if k != "weight"}]


# ---------------------------------------------------------------------------------------------------------------- files
GOOD = {
    "name": "short",
    "criteria": [
        {"name": "brief", "text": "At most 3 words.", "check": "max_words", "with": {"words": 3}, "weight": 2}
    ],
}


def write(tmp_path, content):
    path = tmp_path / "r.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def changed(**fields):
    return {**GOOD, "criteria": [{**GOOD["criteria"][0], **fields}]}


def test_a_file_becomes_a_rubric(tmp_path):
    rubric = load_rubric(write(tmp_path, GOOD), KNOWN)
    assert (rubric.name, rubric.criteria[0].name, rubric.criteria[0].weight) == ("short", "brief", 2.0)
    met, unmet = judge([EXAMPLE] * 2, ["one two three", "a b c d"], rubric)
    assert (met.reward, unmet.reward) == (1.0, 0.0)
    assert unmet.verdicts[0].evidence == "4 words"


def test_needs_reference_and_observation_come_from_the_check(tmp_path):
    observe = lambda examples, responses, sandbox: responses  # noqa: E731
    check = Check("gold", lambda example, seen: seen == example.target, needs_reference=True, observe=observe)
    criterion = load_rubric(write(tmp_path, changed(check="gold", **{"with": {}})), {"gold": check}).criteria[0]
    assert criterion.needs_reference
    assert criterion.observe is observe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", r"r\.yaml: not valid YAML: line 1, column 8"),
        ("", r"r\.yaml: top level: "),
        ("- a\n- b\n", r"r\.yaml: top level: "),
        ({"name": "x"}, r"r\.yaml: criteria: field required"),
        ({**GOOD, "criteria": []}, r"r\.yaml: criteria: list should have at least 1 item"),
        ({**GOOD, "critera": []}, r"r\.yaml: critera: extra inputs are not permitted"),
        (changed(check="max_word"), r"criterion 'brief': no check named 'max_word': did you mean max_words\?"),
        (changed(check="zzz"), r"no check named 'zzz': choose from json, max_words, regex"),
        (changed(weight=-1), r"criteria\.0\.weight: input should be greater than or equal to 0"),
        (changed(weight=0), r"r\.yaml: criteria: every weight is 0, so nothing is paid for: give one a weight above 0"),
        (changed(weight=float("inf")), r"criteria\.0\.weight: "),
        (changed(name="Not snake"), r"criteria\.0\.name: string should match pattern"),
        (changed(text=""), r"criteria\.0\.text: string should have at least 1 character"),
        (
            changed(**{"with": {"words": 3, "max": 4}}),
            r"criterion 'brief': check 'max_words': got an unexpected keyword argument 'max'",
        ),
        (changed(**{"with": {}}), r"criterion 'brief': check 'max_words': missing a required"),
        ({**GOOD, "criteria": GOOD["criteria"] * 2}, r"criteria: the name 'brief' is used 2 times"),
    ],
)
def test_a_bad_file_is_one_line_with_file_field_and_choices(tmp_path, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_rubric(write(tmp_path, content), KNOWN)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.yaml: cannot read the rubric: No such file"):
        load_rubric(tmp_path / "gone.yaml", KNOWN)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin\.yaml: "):
        load_rubric(tmp_path / "latin.yaml", KNOWN)


# --------------------------------------------------------------------------------------------------------------- schema
def test_the_published_schema_is_the_code_s():
    committed = Path(__file__).parent.parent / "docs" / "rubric.schema.json"
    assert json.loads(committed.read_text()) == make_rubric_schema(), (
        "write it anew: herl-bench schema > docs/rubric.schema.json"
    )


def test_the_schema_accepts_every_shipped_rubric_and_refuses_what_the_loader_refuses():
    validator = jsonschema.Draft202012Validator(make_rubric_schema())
    shipped = list(rubrics_path().glob("*.yaml"))
    assert len(shipped) >= 3
    for path in shipped:
        validator.validate(yaml.safe_load(path.read_text()))
    validator.validate(GOOD)
    for bad in (
        {"name": "x"},
        {**GOOD, "critera": []},
        changed(weight=-1),
        changed(name="Not snake"),
        changed(text=""),
    ):
        assert not validator.is_valid(bad)


# -------------------------------------------------------------------------------------------------- checks for any text
@pytest.mark.parametrize(
    ("check", "params", "response", "met"),
    [
        ("regex", {"pattern": "^b"}, "a\nb", True),
        ("regex", {"pattern": "^b"}, "ab", False),
        ("regex", {"pattern": "^b"}, "<think>\nb\n</think>a", False),
        ("regex", {"pattern": "^b"}, "<think>a</think>b", True),
        ("regex", {"pattern": "b"}, "<think>b", False),
        ("json", {}, '{"a": 1}', True),
        ("json", {}, "{a}", False),
        ("max_words", {"words": 2}, "a b", True),
        ("max_words", {"words": 2}, "a b c", False),
    ],
)
def test_general_checks(check, params, response, met):
    assert KNOWN[check].function(EXAMPLE, response, **params).met is met
    assert not KNOWN[check].needs_reference


CRITERION = "name: r\ncriteria:\n  - {{name: a, text: t, check: {}, with: {}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CRITERION.format("regex", "{pattern: '('}"),
            "criterion 'a': with.pattern: not a pattern of Python's re: missing ), unterminated subpattern",
        ),
        (
            CRITERION.format("regex", "{pattern: '(?:(?:a{1000}){1000}){1000}'}"),
            "criterion 'a': with.pattern: the numbers in the pattern",
        ),
        (CRITERION.format("regex", "{pattern: 5}"), "criterion 'a': with.pattern must be str, not int"),
        (CRITERION.format("max_words", "{words: many}"), "criterion 'a': with.words must be int, not str"),
        (CRITERION.format("max_words", "{words: yes}"), "criterion 'a': with.words must be int, not bool"),
        (CRITERION.format("regex", "{pattern: x}, weight: .nan"), "weight"),
        (CRITERION.format("regex", "{pattern: x}, weight: .inf"), "weight"),
        ("name: r\nname: q\n" + CRITERION.format("json", "{}"), "line 2, column 1: the key 'name' stands twice"),
        ("name: 2023-13-45\ncriteria: []\n", "name: string should match"),
        ("[" * 9_000, "more than 50 levels deep"),
        ("a: &a [*a]\n", "the alias *a stands inside of what it names"),
    ],
)
def test_a_strangers_rubric_is_refused_in_one_line(tmp_path, text, said):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError) as told:
        load_rubric(tmp_path / "r.yaml", KNOWN)
    assert str(told.value).startswith(f"{tmp_path / 'r.yaml'}: ")
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_pattern_that_never_ends_leaves_its_criterion_undecided(tmp_path, monkeypatch):
    monkeypatch.setattr("herl_bench.patterns.SECONDS", 0.1)
    (tmp_path / "r.yaml").write_text(CRITERION.format("regex", "{pattern: '(z|zz)+$'}"))
    rubric = load_rubric(tmp_path / "r.yaml", KNOWN)
    examples = [Example("a", "", "", {})] * 20
    for judged in judge(examples, ["z" * 100_000 + "!"] * 20, rubric):
        (verdict,) = judged.verdicts
        assert verdict.met is None
        assert "the pattern takes more than" in verdict.error


@pytest.mark.parametrize(("think", "seen"), [("drop", "4"), ("keep", "<think>2+2 is 5?</think>4")])
def test_checks_and_metrics_of_anybody_see_a_response_without_its_thoughts(think, seen):
    observed = Criterion(
        "a", "t", lambda e, o: o == "seen", observe=lambda e, rs, s: ["seen" if r == seen else r for r in rs]
    )
    plain = Criterion("b", "t", lambda e, response: response == seen)
    metric = Metric("same", lambda e, response: float(response == seen))
    response = "<think>2+2 is 5?</think>4"
    (found,) = judge([EXAMPLE], [response], Rubric("r", (observed, plain)), [metric], None, think)
    assert found.criteria == {"a": 1.0, "b": 1.0}
    assert found.metrics == {"same,none": 1.0}
    assert judge([EXAMPLE], [response], Rubric("r", (plain,)))[0].reward == (think == "drop")  # which is the default


def test_a_metric_of_the_whole_response_sees_its_thoughts_and_no_other_is_looked_at_twice():
    looked = []

    def observe(examples, responses, sandbox):
        looked.append(list(responses))
        return responses

    thinking = "<think>5?</think>4"
    whole = Metric("whole", lambda e, seen: float(seen == thinking), observe=observe, whole=True)
    plain = Metric("plain", lambda e, seen: float(seen == "4"), observe=observe)
    first, second = judge([EXAMPLE] * 2, [thinking, "4"], Rubric("r", ()), [whole, plain])
    assert (first.metrics, second.metrics) == ({"whole,none": 1, "plain,none": 1}, {"whole,none": 0, "plain,none": 1})
    assert looked == [["4", "4"], [thinking]]
