"""Wrong words, wrong files and a full disk, as a user meets them: one clear line on stderr, the documented exit code,
no traceback."""

import json
import resource
import shutil
import subprocess

import pytest

GOOD_ROW = {"question": "How many is 2+3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}


def one_line(done, code):
    """The one line that was said."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("herl-bench: ")
    return lines[0].removeprefix("herl-bench: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "no command named 'rnu': did you mean run?"),
        ("run --task gsmk8", "no task named 'gsmk8': did you mean gsm8k?"),
        ("run", "--task is missing: choose from bbh, gsm8k, humaneval"),
        ("run --task gsm8k --method herle", "no method named 'herle': did you mean herl?"),
        ("run --task gsm8k --set rubric=gsm8kk", "no rubric named 'gsm8kk': did you mean gsm8k or gsm8k-sparse?"),
        ("run --task gsm8k --set template=gsm", "no template named 'gsm': did you mean gsm8k?"),
        ("run --task gsm8k --set learning_rat=1", "--set no setting named 'learning_rat': did you mean learning_rate"),
        ("run --task gsm8k --set budgett=1k", "--set no setting named 'budgett': did you mean budget"),
        ("run --task gsm8k --set gamma=2", "--set gamma=2: input should be less than or equal to 1"),
        ("run --task gsm8k --set gamma", "--set gamma: write --set KEY=VALUE"),
        (
            "run --task gsm8k --budget -5",
            "--budget -5: write a positive number of generated tokens, such as 200k or 1.5M",
        ),
        ("run --task gsm8k --budget 0", "--budget 0: write a positive number"),
        ("run --task gsm8k --budget lots", "--budget lots: write a positive number"),
        (
            "run --task gsm8k --seed x",
            "invalid value for '--seed': 'x' is not a valid integer (see herl-bench run --help)",
        ),
        ("run --task gsm8k --seed -1", "--seed=-1: input should be greater than or equal to 0"),
        ("run --task gsm8k --no_such_flag", "no such option"),
        ("run --task gsm8k --report_to tensorbord", "no tracker named 'tensorbord': did you mean tensorboard?"),
        ("run --task gsm8k --set rubric=gone.yaml", "gone.yaml: cannot read the rubric: No such file or directory"),
        ("run --config gone.yaml", "gone.yaml: cannot read the configuration: No such file or directory"),
        ("run --task gsm8k --data nowhere", "no data folder 'nowhere': --data takes auto, synthetic, hub or a folder"),
        ("run --resume nowhere", "--resume nowhere: no config.yaml there: name the folder of a run"),
        ("eval --tasks gsmk8 --model tiny", "no task named 'gsmk8': did you mean gsm8k?"),
        ("eval --model tiny", "--tasks is missing: choose from bbh, gsm8k, humaneval"),
        ("validate --tasks gsmk8", "no task named 'gsmk8': did you mean gsm8k?"),
        ("score gone.jsonl --task gsm8k", "gone.jsonl"),
        ("warmstart --task gsmk8 -o x", "no task named 'gsmk8': did you mean gsm8k?"),
        ("ls taks", "no kind named 'taks': did you mean tasks"),
    ],
)
def test_wrong_words(cli, words, said):
    assert said in one_line(cli(*words.split()), 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", "r.yaml: not valid YAML: line 1, column 8"),
        ("name: x\ncriteria: []\n", "r.yaml: criteria: list should have at least 1 item"),
        ("name: x\ncriteria:\n  - {name: a, text: b, check: gsm8k.final_anser}\n", "did you mean gsm8k.final_answer"),
    ],
)
def test_a_bad_rubric_file(cli, tmp_path, content, said):
    (tmp_path / "r.yaml").write_text(content)
    assert said in one_line(cli("run", "--task", "gsm8k", "--set", "rubric=r.yaml"), 2)


def test_a_bad_configuration_file(cli, tmp_path):
    (tmp_path / "c.yaml").write_text("task: gsm8k\nset: {gama: 1}\n")
    assert one_line(cli("run", "--config", "c.yaml"), 2).startswith(
        "c.yaml: set.no setting named 'gama': did you mean gamma"
    )


def gsm8k_files(folder, train, test=(GOOD_ROW,)):
    (folder / "gsm8k").mkdir(parents=True)
    for name, rows in (("train", train), ("test", test)):
        (folder / "gsm8k" / f"{name}.jsonl").write_text(
            "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
        )
    return folder


@pytest.mark.parametrize(
    "command", [["run", "--task", "gsm8k", "--data", "d"], ["validate", "--tasks", "gsm8k", "--data", "d"]]
)
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": "#### 5"}, "`question` is missing"),
        ({"question": 3, "answer": "#### 5"}, "`question` is not text"),
        ("{not json", "not JSON"),
        ("[]", "a row is an object"),
        ({"question": "?", "answer": "5"}, '`answer` must end with a line "#### number"'),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(cli, tmp_path, command, row, said):
    gsm8k_files(tmp_path / "d", [GOOD_ROW, GOOD_ROW, row])
    line = one_line(cli(*command), 2)
    assert "d/gsm8k/train.jsonl:3: " in line
    assert said in line


@pytest.mark.parametrize("task", ["gsm8k", "humaneval", "bbh"])
def test_a_data_folder_without_the_files_says_how_to_get_them(cli, tmp_path, task):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("none of the benchmarks")
    line = one_line(cli("validate", "--tasks", task, "--data", "d"), 2)
    assert "is missing" in line
    assert "curl" in line


def test_training_on_the_evaluation_items_stops(cli, tmp_path):
    """Wrong data, not wrong words: exit code 1."""
    gsm8k_files(tmp_path / "d", [GOOD_ROW])
    line = one_line(cli("run", "--task", "gsm8k", "--data", "d"), 1)
    assert "training item gsm8k/train/0 has the same prompt as evaluation item gsm8k/test/0" in line


def test_a_row_to_score_without_a_response(cli, tmp_path):
    gsm8k_files(tmp_path / "d", [GOOD_ROW])
    (tmp_path / "r.jsonl").write_text('{"id": "gsm8k/test/0", "response": "#### 5"}\n{"id": "gsm8k/test/0"}\n')
    line = one_line(cli("score", "r.jsonl", "--task", "gsm8k", "--data", "d"), 2)
    assert "r.jsonl" in line
    assert "2" in line


def test_a_model_that_is_no_checkpoint(cli, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("no model")
    line = one_line(cli("run", "--task", "gsm8k", "--model", "m", "--data", "synthetic"), 2)
    assert "config.json" in line
    assert not (tmp_path / "runs").exists(), "nothing is made before all is checked"


def test_an_output_folder_that_is_a_file(cli, tmp_path, checkpoint):
    (tmp_path / "runs").write_text("a file")
    for folder in ("runs", "runs/deeper"):
        line = one_line(
            cli("run", "--task", "gsm8k", "--model", checkpoint, "--data", "synthetic", "--output_dir", folder), 2
        )
        assert line.startswith(f"--output_dir {folder}")
        assert "file" in line
    assert (tmp_path / "runs").read_text() == "a file"


# ---------------------------------------------------------------------------------------------------------- a full disk
SETTINGS = ["rollouts_per_step=8", "max_new_tokens=8", "eval_items=4", "save_steps=1", "learning_rate=1e-3"]


def start(model, folder):
    small = [word for setting in SETTINGS for word in ("--set", setting)]
    return [
        "run",
        "--task",
        "gsm8k",
        "--model",
        model,
        "--data",
        "synthetic",
        "--budget",
        "400",
        "--output_dir",
        folder,
        *small,
    ]


def same_weights(one, two):
    return (one / "final" / "model.safetensors").read_bytes() == (two / "final" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(checkpoint, tmp_path_factory):
    import os
    import sys

    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, "-m", "herl_bench", *map(str, start(checkpoint, folder))]
    subprocess.run(command, check=True, capture_output=True, env=dict(os.environ), cwd=folder)
    return folder / "gsm8k-herl-s0"


@pytest.fixture
def small_disk(tmp_path):
    """`small_disk(bytes)` mounts a disk of that size, or gives the mounted one another size. Skips where mounting is
    not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(size):
        nonlocal mounted
        options = f"size={size}" + (",remount" if mounted else "")
        if (
            not shutil.which("mount")
            or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode
        ):
            pytest.skip("no disk can be mounted here")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_run_with_one_line_and_resuming_loses_nothing(cli, checkpoint, undisturbed, small_disk):
    """Room for two checkpoints and a half: the third cannot be written."""
    state = next((undisturbed / "checkpoints").glob("*/state.pt")).stat().st_size
    later = {"checkpoints", "final"}
    rest = sum(p.stat().st_size for p in undisturbed.rglob("*") if p.is_file() and not later & set(p.parts))
    disk = small_disk(int(2.5 * state) + rest)
    full = cli(*start(checkpoint, disk))
    assert full.returncode == 1
    (line,) = full.stderr.splitlines()
    assert line.startswith("herl-bench: cannot write ")
    assert "No space left on device" in line or "what was saved before is whole" in line
    run = disk / "gsm8k-herl-s0"
    assert str(run) in line
    assert len(list((run / "checkpoints").glob("step-*/state.pt"))) == 2
    small_disk(20 * state + 2 * rest)
    again = cli("run", "--resume", run)
    assert again.returncode == 0, again.stderr
    assert (run / "rollouts.jsonl").read_text() == (undisturbed / "rollouts.jsonl").read_text()
    assert same_weights(run, undisturbed)


def test_a_disk_that_is_full_from_the_start(cli, checkpoint, small_disk):
    disk = small_disk(4096)
    full = cli(*start(checkpoint, disk))
    assert full.returncode == 1
    (line,) = full.stderr.splitlines()
    assert "No space left on device" in line


def test_a_file_size_limit_is_met_like_a_full_disk(cli, checkpoint, undisturbed, tmp_path):
    """The same without mounting: the first checkpoint is too large for the limit."""
    limit = next((undisturbed / "checkpoints").glob("*/state.pt")).stat().st_size // 2
    full = cli(
        *start(checkpoint, tmp_path), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert full.returncode == 1
    (line,) = full.stderr.splitlines()
    assert "cannot write" in line
    again = cli("run", "--resume", tmp_path / "gsm8k-herl-s0")
    assert again.returncode == 0, again.stderr
    assert same_weights(tmp_path / "gsm8k-herl-s0", undisturbed)
