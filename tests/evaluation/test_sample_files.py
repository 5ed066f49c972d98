"""Samples, appended while they are made."""

import json
import resource

import pytest
from helpers.evaluations import ENVIRONMENT, evaluation, rows, write_evaluation

from herl_bench.errors import SaveError
from herl_bench.evaluation.result_files import read_summary
from herl_bench.evaluation.sample_files import SampleWriter
from herl_bench.policy.answerer import ResolvedSampling


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
