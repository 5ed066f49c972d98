"""What may have happened to a run's folder before `--resume`: each is refused with what to do, or ends in the bytes of
a run that nothing happened to."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from herl_bench.cli import main
from herl_bench.errors import UsageError
from herl_bench.locking import lock_folder
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.checkpoints import find_whole_checkpoint, list_checkpoints
from herl_bench.training.herl import Learner
from herl_bench.training.metrics import CLOCK

WORDS = [
    "--method",
    "ppo",
    "--budget",
    "300",
    "--set",
    "rollouts_per_step=8",
    "--set",
    "max_new_tokens=8",
    "--set",
    "save_steps=1",
    "--set",
    "eval_items=4",
]
RUBRIC = "name: short\ncriteria:\n  - {name: few_words, text: Use few words., check: max_words, with: {words: 50}}\n"


def herl(*words: Any) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(map(str, words)))
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "gsm8k").mkdir()
    for name, kind in (("train", "apples"), ("test", "pears")):
        rows = [
            {
                "question": f"Tom has {i} {kind} and buys {i}. How many?",
                "answer": f"He has {i}+{i}=<<{i}+{i}={2 * i}>>{2 * i}.\n#### {2 * i}",
            }
            for i in range(1, 30)
        ]
        (folder / "gsm8k" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def whole(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    (out / "short.yaml").write_text(RUBRIC)
    words = [
        "--task",
        "gsm8k",
        "--model",
        model,
        "--data",
        data,
        "--output_dir",
        out,
        "--set",
        f"rubric={out / 'short.yaml'}",
    ]
    assert herl("run", *words, *WORDS) == 0
    return out / "gsm8k-ppo-s0"


@pytest.fixture
def stopped(whole: Path, tmp_path: Path) -> Path:
    """A run that was killed in its last evaluation."""
    copy = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(copy / "eval" / "after")
    return copy


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def refused(capsys: Any, directory: Path, *more: str) -> str:
    """Exit 2, one line, nothing written; gives the line."""
    before = files(directory)
    capsys.readouterr()
    assert herl("run", "--resume", directory, *more) == 2
    err = str(capsys.readouterr().err)
    assert err.count("\n") == 1
    assert files(directory) == before
    return err


def lasting(directory: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    metrics = [{k: v for k, v in row.items() if k not in (*CLOCK, "seconds")} for row in rows]
    kept = ("rollouts.jsonl", "config.yaml", "final/model.safetensors", "final/critic.safetensors", "final/sums.json")
    return {"metrics": metrics, **{name: (directory / name).read_bytes() for name in kept}}


# ------------------------------------------------------------------------------------------------------------- the logs
def fault(directory: Path) -> str:
    with pytest.raises(UsageError) as told:
        find_whole_checkpoint(directory)
    return str(told.value)


def shorten(name: str, size: int) -> Any:
    return lambda run: os.truncate(run / name, size)


def doctored(run: Path) -> None:
    text = (run / "rollouts.jsonl").read_text()
    (run / "rollouts.jsonl").write_text(text.replace('"kind": "plain"', '"kind": "guided"', 1))


def swapped(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join([lines[1], lines[0], *lines[2:]]))


def zeroed(run: Path) -> None:
    size = (run / "metrics.jsonl").stat().st_size
    os.truncate(run / "metrics.jsonl", 100)
    os.truncate(run / "metrics.jsonl", size)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shorten("metrics.jsonl", 100), "metrics.jsonl holds 100 of the "),
        (shorten("metrics.jsonl", 0), "metrics.jsonl holds 0 of the "),
        (shorten("rollouts.jsonl", 4000), "rollouts.jsonl holds 4,000 of the "),
        (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl is gone, with the "),
        (lambda run: (run / "rollouts.jsonl").unlink(), "rollouts.jsonl is gone, with the "),
        (doctored, "rollouts.jsonl was changed"),
        (swapped, "metrics.jsonl was changed"),
        (zeroed, "metrics.jsonl was changed"),
    ],
)
def test_a_log_that_is_not_what_its_checkpoint_counts_on(stopped: Path, harm: Any, said: str):
    harm(stopped)
    told = fault(stopped)
    assert said in told
    assert f"rm -r {stopped / 'checkpoints'}) and --resume begins again" in told


def test_a_log_cut_behind_the_earlier_checkpoint_offers_that_one(stopped: Path):
    lines = (stopped / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    os.truncate(stopped / "metrics.jsonl", len(b"".join(lines[:-1])) + 5)
    older, newest = list_checkpoints(stopped)
    assert f"{older} is whole: delete the newer one (rm -r {newest})" in fault(stopped)
    shutil.rmtree(newest)
    assert find_whole_checkpoint(stopped) == older


def test_the_command_refuses_and_writes_nothing(capsys: Any, stopped: Path):
    os.truncate(stopped / "metrics.jsonl", 100)
    assert "metrics.jsonl holds 100 of the " in refused(capsys, stopped)


# ------------------------------------------------------------------------------------------------------ the checkpoints
def flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        *(lambda newest, w=where: flip(newest / "state.pt", w) for where in (0.0, 0.01, 0.3, 0.7, 1.0)),
        lambda newest: os.truncate(newest / "state.pt", 1000),
        lambda newest: os.truncate(newest / "state.pt", 0),
        lambda newest: (newest / "sums.json").write_text("{"),
        lambda newest: (newest / "sums.json").write_text('{"sha256": {"../../config.yaml": ""}}'),
        lambda newest: (newest / "sums.json").write_bytes(b"\xff"),
        lambda newest: (newest / "sums.json").write_text("[" * 100_000),
    ],
)
def test_a_damaged_checkpoint_offers_the_one_before(stopped: Path, harm: Any):
    older, newest = list_checkpoints(stopped)
    harm(newest)
    assert f"{newest} cannot be resumed from" in fault(stopped)
    assert f"{older} is whole: delete the newer one (rm -r {newest})" in fault(stopped)
    flip(older / "state.pt", 0.5)
    assert f"no earlier checkpoint is whole: delete them (rm -r {stopped}/checkpoints)" in fault(stopped)


def test_a_checkpoint_of_an_older_version_has_no_sums(stopped: Path):
    newest = list_checkpoints(stopped)[-1]
    (newest / "sums.json").unlink()
    assert find_whole_checkpoint(stopped) == newest
    os.truncate(newest / "state.pt", 1000)
    assert "state.pt cannot be read" in fault(stopped)


def test_from_the_checkpoint_before_after_what_was_offered(stopped: Path, whole: Path):
    flip(list_checkpoints(stopped)[-1] / "state.pt", 0.5)
    shutil.rmtree(list_checkpoints(stopped)[-1])
    (stopped / "checkpoints" / ".step-000099.tmp").mkdir()  # of a kill while one was written
    (stopped / "checkpoints" / ".step-000099.tmp" / "state.pt").write_text("torn")
    assert herl("run", "--resume", stopped) == 0
    assert lasting(stopped) == lasting(whole)


def test_without_checkpoints_it_begins_again_and_whatever_follows_a_log_is_cut(stopped: Path, whole: Path):
    shutil.rmtree(stopped / "checkpoints")
    shutil.rmtree(stopped / "final")
    with (stopped / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 99}\n\0\0\0')
    assert herl("run", "--resume", stopped) == 0
    assert lasting(stopped) == lasting(whole)


def test_damaged_final_weights_are_not_evaluated(capsys: Any, stopped: Path):
    flip(stopped / "final" / "model.safetensors", 0.9)
    capsys.readouterr()
    assert herl("eval", "--tasks", "gsm8k", "--data", "synthetic", "--limit", "1", "--model", stopped) == 2
    err = capsys.readouterr().err
    assert "model.safetensors is damaged" in err
    assert err.count("\n") == 1


# --------------------------------------------------------------------------------------------------- what it began with
def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def moved(stopped: Path, model: Path, data: Path, whole: Path, tmp_path: Path) -> Path:
    """A stopped run whose model, data and rubric are copies that may be changed."""
    shutil.copytree(model, tmp_path / "model")
    shutil.copytree(data, tmp_path / "data")
    shutil.copy(whole.parent / "short.yaml", tmp_path)
    values = yaml.safe_load((stopped / "config.yaml").read_text())
    values |= {"model": str(tmp_path / "model"), "data": str(tmp_path / "data"), "rubric": str(tmp_path / "short.yaml")}
    (stopped / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return stopped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda at: edited(at / "data" / "gsm8k" / "train.jsonl", "#### 4", "#### 5"),
            ["data sha256 gsm8k/train.jsonl was ", "data items_sha256 train was "],
        ),
        (
            lambda at: edited(at / "data" / "gsm8k" / "test.jsonl", "#### 4", "#### 5"),
            ["data sha256 gsm8k/test.jsonl was ", "data items_sha256 eval was "],
        ),
        (lambda at: edited(at / "short.yaml", "50", "60"), ["rubric sha256 was "]),
        (lambda at: edited(at / "short.yaml", "few words", "any words"), ["rubric sha256 was "]),
        (lambda at: tiny_checkpoint(at / "model", seed=1), ["base_model sha256 was "]),
        (
            lambda at: edited(at / "run" / "config.yaml", "learning_rate: ", "learning_rate: 1"),
            ["settings learning_rate was "],
        ),
        (lambda at: edited(at / "run" / "config.yaml", "seed: 0", "seed: 1"), ["settings seed was 0 and is 1"]),
        (
            lambda at: edited(at / "run" / "config.yaml", "eval_items: 4", "eval_items: 5"),
            ["settings eval_items was 4 and is 5"],
        ),
        (
            lambda at: edited(at / "run" / "config.yaml", "temperature: 1.0", "temperature: 0.7"),
            ["settings temperature was 1.0 and is 0.7"],
        ),
        (lambda at: chat_template(at / "model"), ["base_model tokenizer_sha256 was "]),
        (lambda at: (at / "run" / "manifest.json").unlink(), ["manifest.json is gone"]),
        (lambda at: (at / "run" / "manifest.json").write_text('{"data": '), ["manifest.json cannot be read"]),
        (lambda at: (at / "run" / "manifest.json").write_text("[]"), ["manifest.json cannot be read"]),
    ],
)
def test_a_run_that_was_begun_with_other_things(capsys: Any, moved: Path, change: Any, said: list[str]):
    change(moved.parent)
    told = refused(capsys, moved)
    for words in (*said, "--allow_changed"):
        assert words in told


def chat_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def test_the_template_s_words_are_compared(capsys: Any, moved: Path):
    record = json.loads((moved / "manifest.json").read_text())
    record["template"]["sha256"] = "0" * 64
    (moved / "manifest.json").write_text(json.dumps(record))
    assert "template sha256 was 000000000000… and is " in refused(capsys, moved)


def test_allowed_changes_are_recorded_once_and_go_on(capsys: Any, moved: Path):
    edited(moved.parent / "data" / "gsm8k" / "train.jsonl", "#### 4", "#### 5")
    record = json.loads((moved / "manifest.json").read_text())
    record["libraries"]["torch"] = "0.1"
    (moved / "manifest.json").write_text(json.dumps(record))
    assert "data sha256 gsm8k/train.jsonl" in refused(capsys, moved)
    assert herl("run", "--resume", moved, "--allow_changed") == 0
    assert "note: since this run began, libraries torch was 0.1 and is " in capsys.readouterr().err
    changed = json.loads((moved / "manifest.json").read_text())["changed"]
    assert [row["what"] for row in changed] == [
        "data sha256 gsm8k/train.jsonl",
        "data items_sha256 train",
        "libraries torch",
    ]
    assert {row["step"] for row in changed} == {int(list_checkpoints(moved)[-1].name[-6:])}
    assert changed[0]["from"] == record["data"]["sha256"]["gsm8k/train.jsonl"] != changed[0]["to"]
    shutil.rmtree(moved / "eval" / "after")
    assert herl("run", "--resume", moved) == 0  # compared with what it was last made with
    assert json.loads((moved / "manifest.json").read_text())["changed"] == changed


def test_a_manifest_of_an_older_version_is_compared_in_what_it_names(moved: Path):
    record = json.loads((moved / "manifest.json").read_text())
    for part, key in (("data", "items_sha256"), ("base_model", "tokenizer_sha256")):
        del record[part][key]
    del record["settings"], record["template"]
    (moved / "manifest.json").write_text(json.dumps(record))
    assert herl("run", "--resume", moved) == 0
    assert json.loads((moved / "manifest.json").read_text()) == record


# ---------------------------------------------------------------------------------------------------------- two at once
def test_a_run_that_another_process_writes_is_left_alone(capsys: Any, stopped: Path):
    with lock_folder(stopped):
        assert f"another run is writing into {stopped}: process {os.getpid()} on " in refused(capsys, stopped)


def test_a_finished_run_says_so(capsys: Any, whole: Path):
    before = files(whole)
    assert herl("run", "--resume", whole) == 0
    assert (
        "is finished, its 300 tokens are spent: to go on from its end, pass a larger --budget"
        in capsys.readouterr().out
    )
    assert files(whole) == before


def test_an_extension_that_was_stopped_is_not_taken_for_finished(
    capsys: Any, whole: Path, tmp_path: Path, monkeypatch: Any
):
    copy = Path(shutil.copytree(whole, tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(["run", "--resume", str(copy), "--budget", "400"])
    assert not (copy / "report.html").exists()  # that of the shorter run would pass for this one's
    assert herl("run", "--resume", copy) == 0
    assert "of 400 generated tokens" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_after_its_step(
    capsys: Any, stopped: Path, whole: Path, monkeypatch: Any, number: signal.Signals, code: int
):
    from herl_bench.training.herl import Learner

    shutil.rmtree(stopped / "checkpoints")
    step = Learner.step
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", lambda *args: (os.kill(os.getpid(), number), step(*args)))
        assert herl("run", "--resume", stopped) == code
    shown = capsys.readouterr()
    assert "Finishing this step, then saving a checkpoint." in shown.out
    assert f"to go on: herl-bench run --resume {stopped}" in shown.err
    assert [c.name for c in list_checkpoints(stopped)] == ["step-000001"]
    assert len((stopped / "metrics.jsonl").read_text().splitlines()) == 1
    if number == signal.SIGTERM:
        assert herl("run", "--resume", stopped) == 0
        assert lasting(stopped) == lasting(whole)


@pytest.mark.parametrize("label", ["before", "after"])
def test_a_signal_in_an_evaluation_ends_it_at_once(
    capsys: Any, stopped: Path, whole: Path, monkeypatch: Any, label: str
):
    from herl_bench.evaluation.sample_files import SampleWriter

    if label == "before":
        for name in ("eval/before", "checkpoints", "final"):
            shutil.rmtree(stopped / name)
    append = SampleWriter.append
    with monkeypatch.context() as patch:
        patch.setattr(SampleWriter, "append", lambda *args: (os.kill(os.getpid(), signal.SIGINT), append(*args)))
        assert herl("run", "--resume", stopped) == 130
    shown = capsys.readouterr()
    assert shown.out.endswith(f"evaluation {label}: 0 of 4\n")  # and nothing of a step, for there is none
    assert f"to go on: herl-bench run --resume {stopped}" in shown.err
    assert not list((stopped / "eval" / label).glob("results_*"))
    assert herl("run", "--resume", stopped) == 0
    assert lasting(stopped) == lasting(whole)


# -------------------------------------------------------------------------------------------------------- loss of power
def test_the_disk_has_the_logs_before_the_checkpoint_that_counts_on_them(stopped: Path, monkeypatch: Any):
    """In the order in which they reach the disk: what a checkpoint counts on, the checkpoint, its name."""
    shutil.rmtree(stopped / "checkpoints")
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(f"> {Path(new).name}"), replace(old, new)))
    assert herl("run", "--resume", stopped) == 0
    named = done.index("> step-000001")
    for name in ("metrics.jsonl", "rollouts.jsonl", "state.pt", ".sums.json.tmp", ".step-000001.tmp"):
        assert name in done[:named]
    assert done[named + 1] == "checkpoints"
    assert done[done.index("> final") + 1] == "run"
    assert "model.safetensors" in done[: done.index("> final")]
