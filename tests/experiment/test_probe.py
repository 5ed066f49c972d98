"""`probe`: it runs, goes on after a kill to the same bytes, and refuses what cannot be done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

import herl_bench as hb
from herl_bench.comparison import forecast
from herl_bench.comparison.forecast import Forecast, Line, StudyCell
from herl_bench.comparison.probe_schema import from_json, to_json
from herl_bench.errors import UsageError
from herl_bench.evaluation.probe_arms import RESAMPLES
from herl_bench.experiment.probe import read_settings
from herl_bench.plugins import load_host
from herl_bench.settings import Request
from herl_bench.testing import tiny_checkpoint

ARMS = ["resample", "reference", "other", "with_draft"]
FILES = {"answers.jsonl", "probe.json", "probe.md", "report.html"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("chat") / "model", chat_template=True)


def arguments(model, out):
    words = f"probe --task gsm8k --model {model} --data synthetic --items 24 --set max_new_tokens=4 --output_dir {out}"
    return [sys.executable, "-m", "herl_bench", *words.split(), "--arms", ",".join(ARMS)]


def read(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(chat, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return hb.probe("gsm8k", chat, data="synthetic", items=24, output_dir=out, arms=ARMS, max_new_tokens=4)


def test_what_is_found(whole):
    assert whole.drafts.problems == 24
    failures = whole.drafts.failures
    by_name = {arm.key: arm for arm in whole.arms}
    assert {f"{name}@{t}" for name in ARMS for t in ("0.7", "1")} == set(by_name)
    assert by_name["resample@1"].samples == RESAMPLES
    assert by_name["reference@0.7"].failures == failures == 24
    assert [gap.arm for gap in whole.gaps] == ["reference@0.7", "reference@1"]
    assert list(whole.pass_at) == [1, 2, 3, 4, 5]
    assert from_json((whole.folder / "probe.json").read_text(), "probe.json") == from_json(to_json(whole), "")
    assert repr(whole).startswith("<Probe of model on gsm8k: No more is to be expected")
    assert "cut off" in whole.notes[0]
    asked = [json.loads(line) for line in (whole.folder / "answers.jsonl").read_text().splitlines()[1:]]
    assert len({row["key"] for row in asked}) == len(asked)
    assert all(row["id"].startswith("gsm8k/world-train/") for row in asked)


def test_a_gain_is_forecast_for_warm_started_policies_on_synthetic_problems_alone(chat, whole, tmp_path, monkeypatch):
    line = Line(intercept=0.05, slope=0.0, variances=(0.0, 0.0, 0.0), spread=0.01, cells=20)
    ends = tuple(StudyCell(str(gap), "", gap, 0.05, 0.01) for gap in (-1.0, 1.0))
    study = Forecast(line, ends, error=0.01, r2=0.0, covered=0.8, others={}, budget="100,000 tokens", version="1")
    place = tmp_path / "forecast.json"
    place.write_text(json.dumps(asdict(study)))
    monkeypatch.setattr(forecast, "PLACE", place)
    how = {"data": "synthetic", "items": 24, "arms": ["resample", "reference"], "max_new_tokens": 4}
    found = hb.probe("gsm8k", chat, output_dir=tmp_path / "other", **how)
    assert found.forecast is None
    assert found.expectation.endswith("not forecast: outside what was studied.")
    warm = shutil.copytree(chat, tmp_path / "warm")
    (warm / "warmstart.json").write_text("{}")
    found = hb.probe("gsm8k", warm, output_dir=tmp_path / "warm-out", **how)
    assert found.forecast.value == 0.05
    assert "HeRL - PPO +5.0 points" in found.expectation
    assert "this model" in (found.folder / "report.html").read_text()


def test_killed_and_started_again(chat, whole, tmp_path):
    process = subprocess.Popen(arguments(chat, tmp_path), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    path = tmp_path / whole.folder.name / "answers.jsonl"
    while not (path.exists() and path.read_bytes().count(b"\n") > 100):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (path.parent / "probe.json").exists()
    os.truncate(path, path.stat().st_size - 7)
    done = subprocess.run(arguments(chat, tmp_path), capture_output=True, text=True)
    assert "answers are in" in done.stderr
    assert done.stdout.splitlines()[-2] == whole.expectation
    assert read(path.parent) == read(whole.folder)


def test_another_probe_gets_a_folder_of_its_own(chat, whole, tmp_path):
    how = {"data": "synthetic", "items": 2, "arms": ["resample"], "max_new_tokens": 6, "output_dir": tmp_path}
    first, again, other = (
        hb.probe("gsm8k", chat, **how, hint_level=level) for level in ("evidence", "evidence", "criteria")
    )
    assert first.folder == again.folder
    assert other.folder.name == f"{first.folder.name}-2"
    assert first.gaps == ()
    assert "Nothing can be told from 2 failures" in first.expectation


def test_a_run_brings_its_settings():
    run = {
        "task": "gsm8k",
        "model": "tiny",
        "seed": 3,
        "difficulty": 0.2,
        "device": "cuda",
        "budget": 5,
        "method": "ppo",
    }
    run["set"] = {"temperature": 0.9, "max_new_tokens": 50, "learning_rate": 1.0}
    host, asked = load_host(), Request({"model": "runs/x"}, {"hint_level": "evidence"}, {})
    settings, config = read_settings(host, asked, run)
    assert (settings.task, settings.seed, settings.difficulty, settings.device) == ("gsm8k", 3, 0.2, "auto")
    assert (config.temperature, config.max_new_tokens, config.hint_level) == (0.9, 50, "evidence")
    settings, config = read_settings(host, asked.add({"task": "bbh"}), run)
    assert (settings.seed, settings.difficulty, config.max_new_tokens) == (0, None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": None}, "task is missing"),
        ({"task": "gsm9k"}, "did you mean gsm8k"),
        ({"arms": ["resampel"]}, "did you mean resample"),
        ({"arms": ["cut_draft"]}, "no chat template"),
        ({"learning_rate": 1e-4}, "nothing is trained"),
        ({"budget": "4k"}, "nothing is trained"),
        ({"revise_form": "with_draft"}, "no chat template"),
        ({"hint_levle": "evidence"}, "did you mean hint_level"),
        ({"items": 0}, "at least 1"),
        ({"output_dir": __file__}, "is a file"),
    ],
)
def test_what_cannot_be_done_is_one_line(checkpoint, tmp_path, given, message):
    asked = {"task": "gsm8k", "model": checkpoint, "data": "synthetic", "items": 2, "output_dir": tmp_path / "out"}
    with pytest.raises(UsageError, match=message):
        hb.probe(**{**asked, **given})
    assert not (tmp_path / "out").exists()
