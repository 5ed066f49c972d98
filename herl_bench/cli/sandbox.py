"""`herl-bench sandbox check`: what this machine can isolate, tried out. Exit code 3 where no program would be run."""

from __future__ import annotations

import click

from herl_bench.errors import NoSandbox


@click.group("sandbox")
def command() -> None:
    """Inspect the sandbox that runs untrusted code."""


@command.command("check")
@click.option(
    "--isolation",
    type=click.Choice(["namespaces", "landlock"]),
    default="namespaces",
    show_default=True,
    help="which tier to try",
)
def check(isolation: str) -> None:
    """Try what this machine can isolate, then attack it."""
    from herl_bench.sandbox.attacks import ATTACKS, run_attack
    from herl_bench.sandbox.pool import GAPS, Sandbox
    from herl_bench.sandbox.probes import PROBES, describe_failure

    broken = []
    for run_probe in PROBES[isolation]:
        probe = run_probe()
        mark = "ok" if probe.ok else "MISSING" if probe.needed else "absent"
        click.echo(f"  {probe.name:<14} {mark:<8} {probe.found}" + ("" if probe.ok else f"\n    cure: {probe.cure}"))
        if probe.needed and not probe.ok:
            broken.append(probe)
    if broken:
        raise NoSandbox(describe_failure(broken[0]))
    escaped = []
    with Sandbox(workers=1, isolation=isolation) as sandbox:
        click.echo(f"tier: {isolation}; {len(ATTACKS)} attacks:")
        for attack in ATTACKS:
            verdict, held = run_attack(sandbox, attack)
            click.echo(f"  {attack.name:<24} {'held' if held else 'BREACH':<8} {verdict.status}")
            if not held:
                escaped.append(attack.name)
    if escaped:
        raise NoSandbox(f"no safe sandbox here: it did not hold against {', '.join(escaped)}; please report it")
    if isolation == "landlock":
        click.echo("what this tier leaves open:\n" + "".join(f"  {gap}\n" for gap in GAPS), nl=False)
    click.echo("untrusted programs can be run here")
