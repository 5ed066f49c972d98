"""A run's folder, read."""

import json
import os

import pytest

from herl_bench.errors import DataError, UsageError
from herl_bench.runs import LazyRows, Rows, Run, RunFiles, load_run


@pytest.fixture
def run(tmp_path):
    files = RunFiles(tmp_path)
    files.config.write_text("task: gsm8k\nmethod: ppo\nseed: 2\nset: {learning_rate: 0.1}\n")
    files.metrics.write_text('{"step": 1, "tokens": 10, "criteria": {"a": 0.5}}\n{"step": 2, "tokens": 20}\n')
    files.rollouts.write_text("".join(json.dumps({"step": 1, "response": f"<b>{i}</b>\n…"}) + "\n" for i in range(5)))
    folder = files.evaluation("after")
    folder.mkdir(parents=True)
    score = {"value": 0.5, "stderr": 0.1, "items": 4, "undecided": 0}
    summary = {"items": 4, "metrics": {"exact<match": score}, "criteria": {"steps": score}}
    (folder / "results_2026-01-01.json").write_text(json.dumps({"herl_bench": {"summary": {"gsm8k": summary}}}))
    (folder / "samples_gsm8k_2026-01-01.jsonl").write_text('{"doc_id": 0}\n')
    return load_run(tmp_path)


def test_what_it_says_of_itself(run):
    assert repr(run).startswith("<Run gsm8k ppo seed 2; after: exact<match 0.5 over 4 items; in ")
    assert repr(run.evaluation()) == "<Evaluation after: exact<match 0.5 over 4 items>"
    assert repr(run.metrics) == "<2 rows of 3 columns: step, tokens, criteria>"
    assert repr(run.rollouts).startswith("<5 rows of ")


def test_html_is_small_and_escaped(run):
    for shown in (run, run.evaluation(), run.metrics, run.rollouts[:2]):
        html = shown._repr_html_()
        assert html.startswith(("<table>", "<p>"))
        assert len(html) < 1000
        assert "<b>" not in html
        assert "<match" not in html


def test_rows_are_read_when_they_are_asked_for(run):
    rows = run.rollouts
    assert (len(rows), rows[-1]["response"], [row["step"] for row in rows]) == (5, "<b>4</b>\n…", [1] * 5)
    assert rows[1:3] == Rows([rows[1], rows[2]])
    with pytest.raises(IndexError):
        rows[5]


def test_tables_for_pandas(run):
    assert list(run.metrics.to_pandas().columns) == ["step", "tokens", "criteria.a"]
    assert len(run.rollouts.to_pandas()) == 5
    assert run.evaluation().to_pandas().doc_id.tolist() == [0]


def test_an_evaluation_that_is_not_there_names_those_that_are(run):
    assert run.evaluation("after").metrics == {"exact<match": 0.5}
    with pytest.raises(UsageError, match="has no evaluation 'before': it has after"):
        run.evaluation("before")


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"no config\.yaml there: name the folder of a run"):
        load_run(tmp_path)


def test_a_run_that_has_just_begun(tmp_path):
    RunFiles(tmp_path).config.write_text("task: t\nmethod: m\nseed: 0\n")
    run = Run(tmp_path)
    assert (run.finished, run.metrics) == (False, [])
    assert "<Run t m seed 0; in " in repr(run)
    with pytest.raises(UsageError, match="no page"):
        run.report  # noqa: B018


def test_a_damaged_row_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": NaN}\n')
    rows = LazyRows(path)
    assert rows[0] == {"a": 1}
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        rows[1]


def test_an_evaluation_is_whole_once_its_samples_have_their_name(run):
    files = run.files
    files.final.mkdir()
    (files.final / "config.json").write_text("{}")
    assert files.finished
    (samples,) = files.evaluation("after").glob("samples_*")
    samples.rename(samples.with_name(samples.name + ".part"))
    assert not files.finished


def test_a_run_stands_for_its_folder(run):
    assert os.fspath(run) == str(run.directory)
    assert load_run(run) == run


@pytest.mark.parametrize("place", [None, 3, "a\0b"])
def test_what_is_no_place_is_told(place):
    with pytest.raises(UsageError, match="path: write where it is, as a string or path, not"):
        load_run(place)


def test_no_response_yet_is_no_rows(tmp_path):
    RunFiles(tmp_path).config.write_text("task: t\n")
    rows = load_run(tmp_path).rollouts
    assert (len(rows), list(rows), rows[:2], repr(rows)) == (0, [], [], f"<0 rows of {rows.path}>")


def test_a_slice_of_rows_is_a_table_too(run):
    assert run.metrics[:1].to_pandas().step.tolist() == [1]


def test_a_label_leads_nowhere_else(run):
    for label in ("../eval/after", None, "a\0"):
        with pytest.raises(UsageError, match="has no evaluation"):
            run.evaluation(label)


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"herl_bench": {"summary": {}}}', '{"herl_bench": {"summary": {"t": 1}}}']
)
def test_a_damaged_run_still_shows_itself(run, damage):
    (results,) = run.files.evaluation("after").glob("results_*")
    results.write_text(damage)
    with pytest.raises(UsageError, match="results_2026-01-01"):
        run.evaluation()
    assert "damaged: " in repr(run)
    assert "damaged: " in run._repr_html_()


def test_hostile_names_stay_words(run):
    run.files.config.write_text('task: "\\e[31m<b>x</b>"\nmethod: ppo\n')
    assert "\x1b" not in repr(run) + run._repr_html_()
    assert "<b>" not in run._repr_html_()
