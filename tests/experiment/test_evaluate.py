"""`hb.evaluate`: what the command line says, as a call."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import herl_bench as hb
from herl_bench.cli import main
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.plugins import load_host

MORE = {"limit": 4, "max_new_tokens": 6}


def test_it_is_the_command(tmp_path, capsys):
    found = hb.evaluate("gsm8k", "tiny", refine=1, output_path=tmp_path / "call", log_samples=True, **MORE)
    assert capsys.readouterr().out == ""
    args = ["eval", "--tasks", "gsm8k", "--model", "tiny", "--refine", "1", "--limit", "4", "--max_new_tokens", "6"]
    with pytest.raises(SystemExit) as left:
        main([*args, "--output_path", str(tmp_path / "command"), "--log_samples", "--format", "json"])
    assert left.value.code == 0
    said = json.loads(capsys.readouterr().out)["tasks"]["gsm8k"]
    assert found.metrics == {name: score["value"] for name, score in said["metrics"].items()}
    assert found.criteria == {name: score["value"] for name, score in said["criteria"].items()}
    ours, theirs = (
        [next((tmp_path / kind / "tiny").glob(f"{name}_gsm8k_*")).read_bytes() for name in ("samples", "refined")]
        for kind in ("call", "command")
    )
    assert ours == theirs
    assert found.results in list((tmp_path / "call" / "tiny").iterdir())


def test_a_run_that_was_loaded_is_taken_as_its_folder_is(tmp_path):
    shutil.copytree(load_host().get("task", "gsm8k").policy, tmp_path / "run" / "final")
    (tmp_path / "run" / "config.yaml").write_text("task: gsm8k\nmodel: tiny\ndata: synthetic\n")
    run = hb.load_run(tmp_path / "run")
    found = hb.evaluate(None, run, output_path=tmp_path / "out", **MORE)
    assert (found.task, found.of, found.source) == ("gsm8k", str(run.directory), "synthetic")
    assert found.rows == hb.evaluate("gsm8k", str(run.directory), output_path=tmp_path / "other", **MORE).rows


def test_what_comes_back_shows_itself():
    found = hb.evaluate("gsm8k", "tiny", temperature=1.0, n=2, seed=3, **MORE)
    assert [(row["doc_id"], row["sample"]) for row in found.rows] == [(i, k) for i in range(4) for k in range(2)]
    assert all(isinstance(row["response"], str) for row in found.rows)
    assert list(found.to_pandas()["id"]) == [row["id"] for row in found.rows]
    assert repr(found).startswith("<Evaluation of tiny on gsm8k: exact_match,strict-match 0.")
    assert " ± " in repr(found)
    assert "over 4 items" in repr(found)
    assert found._repr_html_().count("<tr>") == 1 + len(found.metrics) + len(found.criteria)
    assert any("cut off by the length limit" in line for line in found.warnings)


def test_a_name_cannot_pose_as_markup():
    found = hb.evaluate("gsm8k", "tiny", **MORE)
    object.__setattr__(found, "of", "<script>")
    assert "<script>" not in found._repr_html_()


def test_in_a_running_event_loop_and_in_threads():
    async def inside():
        return hb.evaluate("gsm8k", "tiny", **MORE).metrics

    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(hb.evaluate, "gsm8k", "tiny", **MORE) for _ in range(2)]
        both = [job.result().metrics for job in jobs]
    assert [asyncio.run(inside())] * 2 == both


@pytest.mark.parametrize(
    ("task", "more", "error", "words"),
    [
        ("gsm9k", {}, UnknownName, "gsm8k"),
        (None, {}, UsageError, "choose from"),
        ("gsm8k", {"n": 2}, UsageError, "temperature above 0"),
        ("gsm8k", {"pass_at": [5]}, UsageError, "--n 5 or more"),
        ("lm_eval:arc_easy", {}, UsageError, "lm_eval.simple_evaluate"),
    ],
)
def test_what_cannot_be_done_is_one_line(task, more, error, words):
    with pytest.raises(HerlBenchError, match=words) as caught:
        hb.evaluate(task, "tiny", **more)
    assert isinstance(caught.value, error) or error is UnknownName
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"task": ["gsm8k"]}, "task: name one, not a list"),
        ({"limit": 0}, "limit=0: a number of items"),
        ({"limit": "2"}, "limit='2': a number of items"),
    ],
)
def test_what_cannot_be_meant_is_one_line(given, line):
    with pytest.raises(UsageError, match=line):
        hb.evaluate(**{"task": "gsm8k", "model": "tiny", **given})
