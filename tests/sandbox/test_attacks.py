"""No attack passes its test, reaches the host, or spoils the next program."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from helpers.attacks import FORGE_OTHER_TESTS, MEETINGS, PAIRS, SINGLE

from herl_bench.sandbox import Job, Limits, Sandbox, Verdict, probes
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


TIERS = ["namespaces", "landlock"]


@pytest.fixture(scope="module")
def quick(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """More workers than processors: many attacks just wait until they are stopped."""
    if request.param == "landlock" and not (probe := probes.probe_worker("landlock")).ok:
        pytest.skip(probe.found)
    with Sandbox(workers=4, isolation=request.param, limits=QUICK) as opened:
        yield opened


def run_with_honest(sandbox: Sandbox, jobs: dict[str, Job]) -> dict[str, Verdict]:
    """Each of them, and an honest program after each, which has to pass."""
    in_turn = [job for attack in jobs.values() for job in (attack, Job(HONEST, "add", TEST, Limits()))]
    verdicts = list(sandbox.map(in_turn))
    assert {verdict.status for verdict in verdicts[1::2]} == {"pass"}
    return dict(zip(jobs, verdicts[::2], strict=True))


def hold_attacks(sandbox: Sandbox, fill: Callable[[str], str], attacks: Sequence[Attack]) -> None:
    verdicts = run_with_honest(sandbox, {attack.name: Job(fill(attack.code), "add", TEST) for attack in attacks})
    assert {name: v for name, v in verdicts.items() if v.status in ("pass", "infra")} == {}
    assert all(len(verdict.detail) < 1000 for verdict in verdicts.values()), "what is kept of a program is bounded"


@pytest.mark.parametrize("quick", ["namespaces"], indirect=True)
@pytest.mark.parametrize("kind", SINGLE)
def test_attacks_are_held(quick: Sandbox, host: Callable[[str], str], kind: str):
    hold_attacks(quick, host, SINGLE[kind])


@pytest.mark.parametrize("quick", ["landlock"], indirect=True)
@pytest.mark.parametrize("kind", SINGLE)
def test_attacks_are_held_by_landlock(quick: Sandbox, host: Callable[[str], str], kind: str):
    """Every fifth of a kind: what is tried is the same as above."""
    hold_attacks(quick, host, SINGLE[kind][::5])


@pytest.mark.long
@pytest.mark.parametrize("quick", ["landlock"], indirect=True)
@pytest.mark.parametrize("kind", SINGLE)
def test_all_attacks_are_held_by_landlock(quick: Sandbox, host: Callable[[str], str], kind: str):
    hold_attacks(quick, host, SINGLE[kind])


@pytest.mark.parametrize("quick", TIERS, indirect=True)
def test_an_attack_that_works_would_be_noticed(quick: Sandbox):
    verdict, held = run_attack(quick, attempt("nothing to it", "print(1)"))
    assert verdict.status == "pass"
    assert not held


@pytest.mark.parametrize("quick", TIERS, indirect=True)
def test_forgeries_fail_their_tests(quick: Sandbox):
    verdicts = run_with_honest(quick, {name: Job(code, "root", test) for name, test, code in FORGE_OTHER_TESTS})
    assert {name: v for name, v in verdicts.items() if v.status in ("pass", "infra")} == {}


@pytest.mark.parametrize("isolation", TIERS)
def test_nothing_is_left_for_the_next_programs(isolation: str):
    """One worker. The next program may have been forked already, so two of them look."""
    if isolation == "landlock" and not (probe := probes.probe_worker("landlock")).ok:
        pytest.skip(probe.found)
    codes = [code for _, first, second in PAIRS for code in (first, second, second)]
    with Sandbox(workers=1, isolation=isolation, limits=QUICK) as alone:
        verdicts = list(alone.map(Job(attempt("", code).code, "add", TEST) for code in codes))
    looks = [(verdicts[i + 1].status, verdicts[i + 2].status) for i in range(0, len(codes), 3)]
    assert {name: look for (name, _, _), look in zip(PAIRS, looks, strict=True) if look != ("fail", "fail")} == {}


def test_two_programs_at_once_do_not_meet():
    """One leaves a file and waits; the other looks for it all the while."""
    writes = "import time\nopen('/tmp/left', 'w').write('x')\ndef add(a, b):\n    time.sleep(0.2)\n    return a + b\n"
    looks = (
        "import os, time\ndef add(a, b):\n    end = time.time() + 0.2\n    while time.time() < end:\n"
        "        if os.path.exists('/tmp/left'): return None\n    return a + b\n"
    )
    with Sandbox(workers=2) as both:
        verdicts = both.map(Job(code, "add", TEST) for code in (writes, looks) * 2)
        assert [verdict.status for verdict in verdicts] == ["pass"] * 4
        assert both.check(Job(HONEST, "add", TEST)).status == "pass"


def test_two_programs_at_once_cannot_talk():
    with Sandbox(workers=2, limits=QUICK) as both:
        for name, one, other in MEETINGS:
            codes = [attempt("", code).code for code in (one, other) * 3]
            verdicts = list(both.map(Job(code, "add", TEST) for code in codes))
            assert [verdict.status for verdict in verdicts] == ["fail"] * 6, (name, verdicts)
