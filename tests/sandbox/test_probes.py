"""Machines that lack things, and what is said of them; all probes and attacks on this one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from herl_bench.errors import NoSandbox
from herl_bench.sandbox import Job, Sandbox, attacks, probes

HONEST = Job(attacks.HONEST, "add", {"test": attacks.TEST})


def test_no_bubblewrap_is_one_line_with_the_cure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoSandbox, match=r"^bubblewrap is not installed: apt-get install bubblewrap$"):
        Sandbox().check(HONEST)


def test_a_bubblewrap_that_cannot_isolate_names_the_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As in a container that forbids namespaces."""
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: Creating new namespace failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with (
        pytest.raises(
            NoSandbox, match=r"namespaces \(bwrap: Creating new namespace failed: Operation not permitted\): "
        ),
        Sandbox(),
    ):
        pass


IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "sh", "-c"]


def test_where_the_kernel_refuses_namespaces_nothing_runs():
    """Really refused: in a user namespace that may have none below it."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -m herl_bench sandbox check'
    done = subprocess.run(
        [*IN_A_NAMESPACE, script, sys.executable], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert re.fullmatch(r"herl-bench: no safe sandbox here: namespaces \(bwrap: .*\): sysctl .*\n", done.stderr)


def test_root_of_a_user_namespace_is_an_ordinary_user():
    """As in a rootless container: there is no uid 65534 to become, and Landlock alone is refused."""
    code = """
        from herl_bench.sandbox import Sandbox
        asks = ("import os\\ndef f(): return os.getuid()", "assert f() == 65534", "f")
        for isolation in ("namespaces", "landlock"):
            try: print(Sandbox(workers=1, isolation=isolation).check(*asks).status)
            except Exception as error: print(type(error).__name__)
    """
    line = [*IN_A_NAMESPACE, 'exec "$0" -c "$1"', sys.executable, textwrap.dedent(code)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("pass\nNoSandbox\n", "")


@pytest.mark.parametrize("tier", probes.PROBES)
def test_every_probe_holds_here(tier: str):
    results = [probe() for probe in probes.PROBES[tier]]
    broken = [result for result in results if result.needed and not result.ok]
    if os.geteuid() == 0 and [result for result in broken if "may not read" in result.found]:
        pytest.skip(broken[0].found)
    assert broken == []


def test_the_command_line_attacks_the_sandbox(cli):
    done = cli("sandbox", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" held ") == len(attacks.ATTACKS)
    refused = cli("sandbox", "check", PATH="/nowhere")
    assert refused.returncode == 3
    assert refused.stderr == "herl-bench: no safe sandbox here: bubblewrap (not found): apt-get install bubblewrap\n"
