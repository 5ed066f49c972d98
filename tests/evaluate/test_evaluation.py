import json
import math
import re
import resource
from dataclasses import asdict, dataclass, replace

import pytest

from herl_bench.errors import SaveError, UsageError
from herl_bench.evaluate.evaluation import Evaluation
from herl_bench.evaluate.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluate.result_files import new_stamp, read_problems, read_summary, sanitize_name
from herl_bench.evaluate.sample_files import SampleWriter, write_evaluation
from herl_bench.evaluate.sampling import ResolvedSampling
from herl_bench.evaluate.scores import mean_and_stderr
from herl_bench.evaluate.tally import Tally, list_warnings, sum_up
from herl_bench.policy.answerer import Answer
from herl_bench.types import Criterion, Environment, Example, Metric, Rubric, Task

TASK = Task(
    "sums", "adding", lambda d, s: [], lambda s: [], {}, lambda e: e.target,
    lambda e, r: (re.findall(r"\d+", r) or [None])[-1], "sums", "sums", ("exact",),
)  # fmt: skip
RUBRIC = Rubric(
    "sums",
    (
        Criterion("number", "Write a number.", lambda e, r: bool(re.search(r"\d", r))),
        Criterion("short", "Be brief.", lambda e, r: len(r) < 10, weight=3),
        Criterion("fragile", "?", lambda e, r: 1 / len(r) > 0),
    ),
)
METRICS = (
    Metric("exact_match", lambda e, r: float(r.strip() == e.target), filter="strict-match"),
    Metric("exact_match", lambda e, r: float(re.findall(r"\d+", r)[-1] == e.target), filter="flexible"),
)
EXAMPLES = [
    Example(f"eval/{i}", f"{i} + {i} =", str(2 * i), {"family": "even" if i % 2 == 0 else "odd", "planted": i == 3})
    for i in range(4)
]
RESPONSES = ["0", "it is 2", "four", ""]


@dataclass(frozen=True)
class Ran:
    """An observation that knows how the program ended."""

    text: str
    status: str


ENVIRONMENT = Environment(TASK, RUBRIC, NO_TEMPLATE, METRICS)


def rows(examples=EXAMPLES, responses=RESPONSES, **more):
    return judge_responses(ENVIRONMENT, examples, responses, **more)


def evaluation():
    ends = [("eos", 2), ("eos", 1), ("length", 0), ("eos", 1)]
    made = rows(
        responses=[Answer(text, finish, tokens) for text, (finish, tokens) in zip(RESPONSES, ends, strict=True)]
    )
    return Evaluation(
        tuple(made), sum_up(made, RUBRIC, METRICS), ResolvedSampling(max_new_tokens=8, stop=["\n"], seed=5)
    )


def test_the_summary_by_hand():
    s = evaluation().summary
    strict, flexible = s.metrics["exact_match,strict-match"], s.metrics["exact_match,flexible"]
    assert (strict.value, strict.items) == (0.25, 4)
    assert strict.stderr == pytest.approx(math.sqrt((0.75**2 + 3 * 0.25**2) / 3 / 4))
    assert (flexible.value, flexible.items, flexible.undecided) == (
        0.5,
        4,
        2,
    )  # no number in the other two: they count as wrong
    assert (s.criteria["number"].value, s.criteria["short"].value, s.criteria["fragile"].items) == (0.5, 1.0, 3)
    assert (s.unparsed, s.truncated, s.empty, s.errors, s.generated_tokens) == (0.5, 0.25, 0.25, 2, 4)
    assert (s.families["even"].value, s.families["odd"].value) == (0.5, 0.0)
    assert (s.planted["planted"].items, s.planted["plain"].items) == (1, 3)


def test_several_responses_of_an_item_count_once():
    made = rows([EXAMPLES[1], EXAMPLES[1], EXAMPLES[2]], ["2", "3", "4"], doc_ids=[1, 1, 2], samples=[0, 1, 0])
    s = sum_up(made, RUBRIC, METRICS)
    assert (s.items, s.responses) == (2, 3)
    assert s.metrics["exact_match,strict-match"].value == 0.75


def test_rates_are_of_the_responses_that_were_given():
    """Three of eight were not given; of the other five one was cut off, one is empty, one has no answer and one program
    hung."""
    ran = Metric(
        "ran",
        lambda e, ran: float(ran.text == "4"),
        observe=lambda e, texts, s: [Ran(t, "timeout" if t == "4" else "pass") for t in texts],
    )
    answers = [
        *[Answer("", error="HTTP 500")] * 3,
        Answer("2", "eos"),
        Answer("3", "length"),
        Answer("4", "eos"),
        Answer(" ", "eos"),
        Answer("x"),
    ]
    examples = [replace(EXAMPLES[0], id=str(i)) for i in range(8)]
    s = sum_up(
        judge_responses(Environment(TASK, Rubric("none", ()), NO_TEMPLATE, [ran]), examples, answers),
        Rubric("none", ()),
        [ran],
    )
    assert (s.truncated, s.empty, s.unparsed, s.timed_out) == (
        0.25,
        0.2,
        0.4,
        0.2,
    )  # the last does not say how it ended
    assert (s.errors, s.error_rate, s.undecided) == (3, 0.375, 3)
    assert (s.metrics["ran,none"].value, s.metrics["ran,none"].items, s.metrics["ran,none"].undecided) == (1 / 8, 8, 3)
    said = list(list_warnings(asdict(s)))
    assert len(said) == 5
    assert said[-1] == "37.5% of the responses are missing, or with something that could not be judged"


def test_quiet_below_five_percent_but_not_about_errors():
    rates = {"truncated": 0.05, "empty": 0.0, "unparsed": 0.051, "timed_out": 0.0, "error_rate": 0.001}
    assert [line.split(" of")[0] for line in list_warnings(rates)] == ["5.1%", "0.1%"]
    assert list(list_warnings({"truncated": None, "error_rate": 0.0})) == []


def test_tallies_of_parts_merge_to_the_tally_of_the_whole():
    made, parts = (
        rows([*EXAMPLES, *EXAMPLES], [*RESPONSES, *reversed(RESPONSES)]),
        [Tally(RUBRIC, METRICS) for _ in range(3)],
    )
    for i, row in enumerate(made):
        parts[i % 3].add([row])
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert parts[0].summary() == sum_up(made, RUBRIC, METRICS)


def test_too_few_values_have_no_standard_error():
    assert mean_and_stderr([]).value is None
    assert mean_and_stderr([1.0]).stderr is None


def test_an_extraction_that_raises_is_an_error_of_ours():
    broken = replace(TASK, extract=lambda e, r: 1 / 0)
    (row,) = judge_responses(Environment(broken, RUBRIC, NO_TEMPLATE, METRICS), EXAMPLES[:1], ["0"])
    assert row.errors == ("extract: ZeroDivisionError: division by zero",)


def test_the_files_hold_every_column(tmp_path):
    results_path, samples_path = write_evaluation(
        evaluation(), tmp_path / "eval", ENVIRONMENT, model_name="org/m", config={"limit": 4, "data": "synthetic"}
    )
    assert sorted(p.name for p in (tmp_path / "eval").iterdir()) == sorted([results_path.name, samples_path.name])
    results = json.loads(results_path.read_text())
    scores = results["results"]["sums"]
    assert scores["exact_match,strict-match"] == 0.25
    assert scores["criterion_short,none"] == 1.0
    assert scores["sample_len"] == 4
    assert results["config"]["limit"] == 4
    assert results["model_name_sanitized"] == "org__m"
    assert results["herl_bench"]["config"] == {"data": "synthetic"}
    assert results["herl_bench"]["rubric"] == {"sums": "sums"}
    summary = read_summary(tmp_path / "eval")
    assert (summary["metrics"]["exact_match,strict-match"]["value"], summary["unparsed"]) == (0.25, 0.5)
    assert summary["families"]["even"] == {"value": 0.5, "stderr": 0.5, "items": 2, "undecided": 0}
    samples = [json.loads(line) for line in samples_path.read_text().splitlines()]
    assert [(s["doc_id"], s["filter"]) for s in samples[:3]] == [(0, "strict-match"), (0, "flexible"), (0, "none")]
    assert samples[2]["metrics"] == ["criterion_number", "criterion_short", "criterion_fragile"]
    assert samples[0]["resps"] == [["0"]]
    assert samples[0]["herl_bench"]["id"] == "eval/0"


def test_the_files_are_the_same_each_time_but_for_the_clock(tmp_path):
    written = [write_evaluation(evaluation(), tmp_path / str(i), ENVIRONMENT, model_name="m") for i in range(2)]
    first, second = (json.loads(results.read_text()) for results, _ in written)
    for clock in ("date", "total_evaluation_time_seconds"):
        del first[clock], second[clock]
    assert first == second
    assert written[0][1].read_bytes() == written[1][1].read_bytes()


def test_samples_made_so_far_outlive_a_stop(tmp_path):
    def interrupted():
        with SampleWriter(tmp_path, ENVIRONMENT, ResolvedSampling()) as writer:
            writer.append(rows()[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    assert len(left.read_text().splitlines()) == 2 * 3


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"cannot write .*file"):
        write_evaluation(evaluation(), tmp_path / "file", ENVIRONMENT, model_name="m")


def test_running_out_of_space_is_one_line(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SaveError, match=r"cannot write .*samples.*: File too large"):
            write_evaluation(evaluation(), tmp_path, ENVIRONMENT, model_name="m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(UsageError, match="nothing was evaluated"):
        read_summary(tmp_path)
    said = [
        "[]",
        '{"herl_bench": {"summary": {"t": "abc"}, "problems": {"t": "abc"}}}',
        '{"herl_bench": {"summary": [], "problems": [1]}}',
    ]
    for text in said:
        (tmp_path / "results_1.json").write_text(text)
        for read in (read_summary, read_problems):
            with pytest.raises(UsageError, match=r"results_1\.json: not a results file"):
                read(tmp_path)


def test_the_last_one_written_is_the_newest_whatever_the_clock_says(tmp_path):
    """Files of a clock that was ahead, one to the second, and names that are no stamps."""
    for name in (
        "results_2999-01-02T03-04-05.678901.json",
        "samples_a_2999-01-02T03-04-06.jsonl",
        "results_2999-99-99T00-00-00.json",
        "results_.json",
    ):
        (tmp_path / name).touch()
    stamp = new_stamp(tmp_path)
    assert stamp == "2999-01-02T03-04-07.000000"
    (tmp_path / f"results_{stamp}.json").touch()
    assert new_stamp(tmp_path) == "2999-01-02T03-04-07.000001"
    assert new_stamp(tmp_path / "nowhere") < "2999"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("org/m", "org__m"),
        ("/a/b", "__a__b"),
        ("a:b?c", "a__b__c"),
        ("../m", "m"),
        ("./m", "m"),
        ("a/../../m", "m"),
        ("../../x/y.z", "y.z"),
    ],
)
def test_a_model_s_folder_has_a_plain_name(name, folder, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert sanitize_name(name) == folder


@pytest.mark.parametrize(("name", "folder"), [(".", "deep"), ("..", "deeper"), ("./", "deep")])
def test_where_one_stands_is_named_by_its_folder(name, folder, tmp_path, monkeypatch):
    place = tmp_path / "deeper" / "deep"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    assert sanitize_name(name) == folder


@pytest.mark.parametrize(
    "there",
    [
        "2999-01-01T00-00-00.000000",
        "2999-01-01T00-00-00",
        "2999-01-01T00-00-00.999999",
        "2999-01-01T00-00-00.5",
        "garbage",
        "9999-12-31T23-59-59.999999",
    ],
)
def test_the_newest_stands_last_even_where_the_clock_was_set_back(there, tmp_path):
    old = tmp_path / f"results_{there}.json"
    old.touch()
    new = tmp_path / f"results_{new_stamp(tmp_path)}.json"
    assert max(new, old) == new or not there.startswith("2999")
    assert re.fullmatch(r"results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}\.json", new.name)
