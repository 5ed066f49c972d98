"""`herl-bench sandbox check`: what this machine can isolate, tried out. Exit code 3 where no program would be run."""

from __future__ import annotations

import click

from herl_bench.errors import NoSandbox


@click.group("sandbox")
def command() -> None:
    """Inspect the sandbox that runs untrusted code."""


@command.command("check")
def check() -> None:
    """Try what this machine can isolate, then attack it."""
    from herl_bench.sandbox.attacks import ATTACKS, survives
    from herl_bench.sandbox.pool import Sandbox
    from herl_bench.sandbox.probes import PROBES

    broken = []
    for try_it in PROBES:
        probe = try_it()
        mark = "ok" if probe.ok else "MISSING" if probe.needed else "absent"
        click.echo(f"  {probe.name:<14} {mark:<8} {probe.found}" + ("" if probe.ok else f"\n    cure: {probe.cure}"))
        if probe.needed and not probe.ok:
            broken.append(probe)
    if broken:
        raise NoSandbox(f"no safe sandbox here: {broken[0].name} ({broken[0].found}): {broken[0].cure}")
    escaped = []
    with Sandbox(workers=1) as sandbox:
        click.echo(f"tier: namespaces; {len(ATTACKS)} attacks:")
        for attack in ATTACKS:
            verdict, held = survives(sandbox, attack)
            click.echo(f"  {attack.name:<24} {'held' if held else 'BREACH':<8} {verdict.status}")
            if not held:
                escaped.append(attack.name)
    if escaped:
        raise NoSandbox(f"no safe sandbox here: it did not hold against {', '.join(escaped)}; please report it")
    click.echo("untrusted programs can be run here")
