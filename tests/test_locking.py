"""One holder at a time, whoever died before; with and without `flock`."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from herl_bench import locking
from herl_bench.errors import UsageError
from herl_bench.locking import lock_folder

ME = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-01T00:00:00+00:00"}


@pytest.fixture(params=[True, False], ids=["flock", "without"])
def flock(request, monkeypatch):
    """Both kinds of file system."""
    if not request.param:

        def refuse(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locking.fcntl, "flock", refuse)
    monkeypatch.setattr(locking, "DYING_S", 0.5)
    monkeypatch.setattr(locking, "PATIENCE_S", 0.0)
    return request.param


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_the_second_is_told_of_the_first_and_the_folder_is_left_clean(tmp_path, flock):
    with lock_folder(tmp_path):
        with pytest.raises(UsageError) as told, lock_folder(tmp_path):
            pass
        assert f"process {os.getpid()} on {socket.gethostname()}, since 20" in str(told.value)
        assert str(tmp_path) in str(told.value)
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path):
        pass


STALE = {
    "a dead process": {**ME, "pid": dead_process()},
    "a process number that another process has now": {**ME, "born": 1},
    "a number no process can have": {**ME, "pid": 2**70},
    "not a lock's content": [1, 2],
    "no host": {"pid": 1},
    "a word for a number": {**ME, "pid": "1"},
}


@pytest.mark.parametrize(
    "content",
    [*map(json.dumps, STALE.values()), "", "\0\0\0", "{", "[" * 5000],
    ids=[*STALE, "empty", "NUL", "torn", "deep"],
)
def test_what_a_dead_holder_left_is_taken_over(tmp_path, flock, content):
    (tmp_path / ".lock").write_text(content)
    with lock_folder(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".lock").exists()


def test_another_machine_s_holder_is_believed_only_where_the_kernel_keeps_no_locks(tmp_path, flock):
    (tmp_path / ".lock").write_text(json.dumps({**ME, "host": "elsewhere", "pid": 7}))
    if flock:
        with lock_folder(tmp_path):
            pass
    else:
        with (
            pytest.raises(
                UsageError, match=rf"process 7 on elsewhere, since 2026-.*if it is over, delete {tmp_path}/\.lock"
            ),
            lock_folder(tmp_path),
        ):
            pass
        assert "elsewhere" in (tmp_path / ".lock").read_text()


def test_a_lock_that_names_nobody_is_said_to_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "DYING_S", 0.2)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match=r"\.lock is locked"), lock_folder(tmp_path):
            pass


def test_kill_9_leaves_no_lock(tmp_path):
    code = f"""
import time
from pathlib import Path
from herl_bench.locking import lock_folder
with lock_folder(Path({str(tmp_path)!r})):
    print(1, flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(UsageError, match=f"process {process.pid} on"), lock_folder(tmp_path):
        pass
    os.kill(process.pid, signal.SIGKILL)
    with lock_folder(tmp_path):  # at once, be it still dying
        pass
    process.communicate()


def test_one_that_waited_for_a_file_that_is_gone_takes_the_new_one(tmp_path):
    path = tmp_path / ".lock"
    path.write_text("")
    real = fcntl.flock

    def late(descriptor, how):
        """Between our opening the file and locking it, its holder leaves and takes it along."""
        locking.fcntl.flock = real
        path.unlink()
        real(descriptor, how)

    try:
        locking.fcntl.flock = late
        with lock_folder(tmp_path) as held:
            assert os.path.samestat(os.fstat(held), os.stat(path))
    finally:
        locking.fcntl.flock = real
