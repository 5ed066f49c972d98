"""Shared by the tests: the command line as a process of its own, and a real checkpoint with a few thousand
parameters."""

import os
import signal
import subprocess
import sys

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # for models of a few thousand parameters more threads only wait for each other

# A shell that starts this in the background leaves Ctrl-C ignored, for the processes under test too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cli(tmp_path):
    """`cli("ls", "tasks", paths=[…], **environment)` runs `python -m herl_bench ls tasks` in an empty folder.

    paths: folders put in front of `sys.path`, such as one that a package was installed into. An environment variable
    given as None is unset.
    """

    def run(*args, paths=(), cwd=None, timeout=300, preexec_fn=None, **environment):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **environment}
        return subprocess.run(
            [sys.executable, "-m", "herl_bench", *map(str, args)],
            cwd=cwd or tmp_path,
            env={k: v for k, v in env.items() if v is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            preexec_fn=preexec_fn,
        )

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    from herl_bench.testing import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))
