"""Shared by the tests: the command line as a process of its own, and a real checkpoint with a few thousand
parameters."""

import os
import signal

import pytest
from helpers.commands import run_command, run_fresh

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # with a few thousand parameters more threads only wait for each other

# A shell that starts this in the background leaves Ctrl-C ignored, `nohup` SIGHUP, for the processes under test too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """The whole suite takes two processes, a file that is named takes this one; `-n` says otherwise."""
    whole = config.args_source == config.ArgsSource.TESTPATHS and not config.option.usepdb
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if whole and not is_worker and config.pluginmanager.hasplugin("xdist") and config.option.numprocesses is None:
        config.option.numprocesses, config.option.dist = 2, "loadfile"


@pytest.fixture
def cli(tmp_path):
    """`cli("ls", "tasks", paths=[…], **environment)` runs `herl-bench ls tasks` in an empty folder.

    paths: folders put in front of `sys.path`, such as one that a package was installed into. An environment variable
    given as None is unset.
    """

    def run(*words, cwd=None, timeout=300, **more):
        start = run_fresh if more else run_command
        return start(*words, cwd=cwd or tmp_path, timeout=timeout, **more)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    from herl_bench.testing import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))
