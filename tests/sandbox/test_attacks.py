"""No attack passes its test, reaches the host, or spoils the next program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from helpers.attacks import FORGE_OTHER_TESTS, MEETINGS, PAIRS, SINGLE

from herl_bench.sandbox import Job, Limits, Sandbox, probes
from herl_bench.sandbox.attacks import HONEST, TEST, Attack, attempt, run_attack

QUICK = Limits(wall_s=0.7, cpu_s=1, busy_s=1.0)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Real things that an attack could reach; fills in their names."""
    folder = tmp_path_factory.mktemp("host")
    folder.chmod(0o777)
    canary = folder / "canary"
    canary.write_text("CANARY")
    canary.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0herl-canary-" + str(os.getpid()))
        unix.listen()
        victim = subprocess.Popen(["sleep", "600"])
        names = {
            "CANARY": canary,
            "FOLDER": folder,
            "HOME": Path.home(),
            "PORT": tcp.getsockname()[1],
            "VICTIM": victim.pid,
        }
        names["ABSTRACT"] = "herl-canary-" + str(os.getpid())

        def fill(code: str) -> str:
            for name, value in names.items():
                code = code.replace("{" + name + "}", str(value))
            return code

        try:
            yield fill
            assert victim.poll() is None
            assert sorted(path.name for path in folder.iterdir()) == ["canary"]
            assert canary.read_text() == "CANARY"
        finally:
            victim.kill()
            victim.wait()


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def quick(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "landlock" and not (probe := probes.probe_worker("landlock")).ok:
        pytest.skip(probe.found)
    with Sandbox(workers=1, isolation=request.param, limits=QUICK) as opened:
        yield opened


@pytest.mark.parametrize("name", SINGLE)
def test_attack_is_held(quick: Sandbox, host: Callable[[str], str], name: str):
    attack = SINGLE[name]
    verdict, held = run_attack(quick, Attack(attack.name, host(attack.code)), limits=QUICK)
    assert held, verdict
    assert verdict.tests_passed == 0 or verdict.status != "pass"
    assert len(verdict.detail) < 1000, "what is kept of a program is bounded"


def test_an_attack_that_works_would_be_noticed(quick: Sandbox):
    verdict, held = run_attack(quick, attempt("nothing to it", "print(1)"))
    assert verdict.status == "pass"
    assert not held


@pytest.mark.parametrize(("name", "test", "code"), FORGE_OTHER_TESTS)
def test_forgery_fails_its_test(quick: Sandbox, name: str, test: str, code: str):
    verdict = quick.check(Job(code, "root", {"tests": test}))
    assert verdict.status not in ("pass", "infra"), verdict


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_nothing_is_left_for_the_next_program(quick: Sandbox, name: str, first: str, second: str):
    quick.check(Job(attempt("", first).code, "add", {"test": TEST}))
    for _ in range(2):  # the next one may have been forked already
        verdict = quick.check(Job(attempt("", second).code, "add", {"test": TEST}))
        assert verdict.status == "fail", verdict


def test_two_programs_at_once_do_not_meet():
    """One leaves a file and waits; the other looks for it all the while."""
    writes = "import time\nopen('/tmp/left', 'w').write('x')\ndef add(a, b):\n    time.sleep(0.2)\n    return a + b\n"
    looks = (
        "import os, time\ndef add(a, b):\n    end = time.time() + 0.2\n    while time.time() < end:\n"
        "        if os.path.exists('/tmp/left'): return None\n    return a + b\n"
    )
    with Sandbox(workers=2) as both:
        verdicts = both.map(Job(code, "add", {"test": TEST}) for code in (writes, looks) * 2)
        assert [verdict.status for verdict in verdicts] == ["pass"] * 4
        assert both.check(Job(HONEST, "add", {"test": TEST})).status == "pass"


@pytest.mark.parametrize(("name", "one", "other"), MEETINGS)
def test_two_programs_at_once_cannot_talk(name: str, one: str, other: str):
    with Sandbox(workers=2, limits=QUICK) as both:
        verdicts = list(both.map(Job(attempt("", code).code, "add", {"test": TEST}) for code in (one, other) * 3))
    assert [verdict.status for verdict in verdicts] == ["fail"] * 6, verdicts
