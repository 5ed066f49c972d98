"""Nothing that is printed can fail, and no work is lost for want of somebody to tell."""

import errno
import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from herl_bench.cli.output import Outlet
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.metrics import CLOCK

ALONE = [sys.executable, "-m", "herl_bench"]
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`line` of bash, in which $H is the command and $? is told on its stderr's last line."""
    words = " ".join(ALONE)
    return subprocess.run(
        ["bash", "-c", line.replace("$H", words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("$H ls >&-", 1, "herl-bench: stdout: it is closed\n"),
        pytest.param("$H ls >/dev/full", 1, "herl-bench: stdout: No space left on device\n", marks=FULL),
        pytest.param("$H --help >/dev/full", 1, "herl-bench: stdout: No space left on device\n", marks=FULL),
        pytest.param("$H ls >/dev/full 2>/dev/full", 1, "", marks=FULL),
        ("$H --version >&- 2>&- <&-", 1, ""),
        ("$H ls 2>&- >/dev/null", 0, ""),
        ("$H nothing >&-", 2, "herl-bench: no command named 'nothing': "),
        ("$H nothing 2>&-", 2, ""),
        ("$H ls | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("$H nothing 2>&1 | true; exit ${PIPESTATUS[0]}", 2, ""),
        ("$H schema | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", (0, 141), ""),
    ],
)
def test_a_command_that_cannot_be_heard(line: str, code: Any, said: str):
    done = shell(line)
    assert done.returncode in (code if isinstance(code, tuple) else (code,))
    assert done.stderr.startswith(said) if said else done.stderr == ""
    assert done.stderr.count("\n") <= 1


def outlet(descriptor: int, encoding: str = "utf-8") -> tuple[Outlet, io.TextIOWrapper]:
    raw = Outlet(descriptor)
    return raw, io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", write_through=True)


def test_everything_arrives_and_what_the_terminal_has_no_sign_for_is_escaped(tmp_path: Path):
    with (tmp_path / "a").open("wb") as file:
        _, stream = outlet(file.fileno(), "ascii")
        print("█ é 漢", "\udcff", file=stream)
        stream.buffer.write(b"bytes\n")
        stream.close()  # a plugin's doing
        print("after", file=stream)
    assert (tmp_path / "a").read_text() == "\\u2588 \\xe9 \\u6f22 \\udcff\nbytes\nafter\n"


def test_a_reader_that_leaves_is_noticed_once():
    reader, writer = os.pipe()
    raw, stream = outlet(writer)
    print("heard", file=stream)
    os.close(reader)
    for _ in range(3):
        print("x" * 100_000, file=stream, flush=True)
    assert raw.lost is not None
    assert raw.lost.errno == errno.EPIPE
    assert not raw.isatty()
    os.close(writer)


def test_a_full_pipe_that_does_not_block_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, "-c", "import os\nn = 0\nwhile n < 300_000: n += len(os.read(0, 4096))"]
    with subprocess.Popen(command, stdin=reader) as slow:
        os.close(reader)
        raw, stream = outlet(writer)
        stream.write("y" * 300_000)
        assert slow.wait(60) == 0
    assert raw.lost is None
    os.close(writer)


# -------------------------------------------------------------------------------------------------------------- signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_any_command_in_order(capsys: Any, monkeypatch: Any, number: signal.Signals, code: int):
    from herl_bench.cli import main

    given_back = []

    def told(*_: Any, **__: Any) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            given_back.append(number)

    monkeypatch.setattr("click.echo", told)
    with pytest.raises(SystemExit) as left:
        main(["tasks", "path"])
    assert (left.value.code, given_back) == (code, [number])
    assert capsys.readouterr().err.strip() == f"herl-bench: stopped by {number.name}"
    assert signal.getsignal(number) == signal.SIG_DFL
    signal.signal(number, signal.SIG_IGN)  # as `nohup` does
    try:
        with pytest.raises(SystemExit) as left:
            main(["tasks", "path"])
    finally:
        signal.signal(number, signal.SIG_DFL)
    assert left.value.code == 0


# ------------------------------------------------------------------------------------------------------ a run's display
RUN = [
    "run",
    "--task",
    "gsm8k",
    "--method",
    "ppo",
    "--data",
    "synthetic",
    "--budget",
    "200",
    "--set",
    "rollouts_per_step=8",
    "--set",
    "max_new_tokens=8",
    "--set",
    "eval_items=4",
]
NOISY = """
import os, sys
from herl_bench import hookimpl

@hookimpl
def herl_rollouts_judged(run, step, rollouts):
    print("ünheard", step)
    os.write(1, b"raw")
    sys.stdout.close()

@hookimpl
def herl_run_finished(run):
    sys.__stdout__.write("x")
    print("finished", file=sys.stderr)
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def lasting(directory: Path) -> Any:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert list((directory / "eval" / "after").glob("results_*"))
    assert (directory / "report.html").is_file()
    return [{k: v for k, v in row.items() if k not in (*CLOCK, "seconds")} for row in rows], (
        directory / "final" / "sums.json"
    ).read_text()


@pytest.fixture(scope="module")
def heard(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from herl_bench.cli import main

    out = tmp_path_factory.mktemp("heard")
    with pytest.raises(SystemExit) as left:
        main([*RUN, "--model", str(model), "--output_dir", str(out)])
    assert left.value.code == 0
    return lasting(out / "gsm8k-ppo-s0")


@pytest.mark.parametrize(
    ("ending", "code", "said", "environment"),
    [
        (">&-", 1, "herl-bench: stdout: it is closed; everything is in {}\n", {}),
        pytest.param(
            ">/dev/full",
            1,
            "herl-bench: stdout: No space left on device; everything is in {}\n",
            {},
            marks=[FULL, pytest.mark.long],
        ),
        (
            "| head -1 >/dev/null; exit ${PIPESTATUS[0]}",
            141,
            "herl-bench: stdout: nobody reads it any more; everything is in {}\n",
            {},
        ),
        pytest.param(
            ">/dev/null 2>&-",
            0,
            "",
            {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "1", "TERM": "dumb"},
            marks=pytest.mark.long,
        ),
    ],
    ids=["closed", "full", "head", "ascii"],
)
def test_training_outlives_its_display(
    heard: Any, model: Path, tmp_path: Path, ending: str, code: int, said: str, environment: Any
):
    done = shell(f"$H {' '.join(RUN)} --model {model} --output_dir {tmp_path} {ending}", **environment)
    assert (done.returncode, done.stderr) == (code, said.format(tmp_path / "gsm8k-ppo-s0"))
    assert lasting(tmp_path / "gsm8k-ppo-s0") == heard


def test_a_plugin_s_prints_cannot_stop_a_run(heard: Any, model: Path, tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "noisy.py").write_text(NOISY)
    (site / "noisy-1.dist-info").mkdir()
    (site / "noisy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1\n")
    (site / "noisy-1.dist-info" / "entry_points.txt").write_text("[herl_bench]\nnoisy = noisy\n")
    line = f"$H {' '.join(RUN)} --model {model} --output_dir {tmp_path} | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = shell(line, PYTHONPATH=str(site), PYTHONIOENCODING="ascii")
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "plugin noisy (noisy 1): hook herl_rollouts_judged raised BrokenPipeError" in done.stderr
    assert lasting(tmp_path / "gsm8k-ppo-s0") == heard


@pytest.mark.long
def test_a_terminal_of_one_column_that_goes_away(heard: Any, model: Path, tmp_path: Path):
    """The live display; then the hang-up, which ends the run in order, with a checkpoint to go on from."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\2\0\1\0\0\0\0\0")
    command = [*ALONE, *RUN, "--model", str(model), "--output_dir", str(tmp_path)]

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        preexec_fn=own_terminal,
        env=environment,
        text=True,
    )
    os.close(theirs)
    metrics = tmp_path / "gsm8k-ppo-s0" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        os.read(ours, 65536)
    os.close(ours)
    _, err = process.communicate(timeout=300)
    assert process.returncode in (129, 1), err  # 1: it was through with its training
    assert "Traceback" not in err
    if process.returncode == 129:
        assert f"to go on: herl-bench run --resume {metrics.parent}" in err
        done = shell(f"$H run --resume {metrics.parent}")
        assert done.returncode == 0, done.stderr
    assert lasting(metrics.parent) == heard
