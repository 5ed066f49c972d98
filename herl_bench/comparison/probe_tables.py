"""A probe's tables in words: what terminal, Markdown file and page show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from herl_bench.comparison.probe_schema import ArmResult, Estimate, Probe

COLUMNS = (
    *("arm", "n", "repaired, %", "- resample", "reward", "- resample", "metric", "broken, %", "copies, %"),
    *("written", "read", "per 1,000", "- resample"),
)
LEGEND = (
    "n: failures that were asked again; repaired: full reward now; - resample: less sampling anew at the same"
    " temperature; metric: the task's first; broken: less reward than the draft, of those with some; copies: the draft"
    " again; written, read: mean tokens; per 1,000: repaired with 1,000 written tokens; [ ]: 95 % intervals over"
    " failures, paired in differences"
)


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def list_tables(probe: Probe) -> list[Table]:
    """The arms at each temperature, then the gaps."""
    temperatures = dict.fromkeys(arm.temperature for arm in probe.arms)
    tables = [
        Table(f"at temperature {t:g}", COLUMNS, [list_cells(a) for a in probe.arms if a.temperature == t])
        for t in temperatures
    ]
    if probe.gaps:
        columns = ("own guidance", "repairs, %", "resampled, %", "gap", "own - another's", "own - again")
        rows = [
            [
                g.arm,
                f"{g.own:.1%}",
                f"{g.resampled:.1%}",
                *(_write(found, "+.1f", 100) for found in (g.value, g.words, g.content)),
            ]
            for g in probe.gaps
        ]
        tables.append(Table("guidance gap: repaired, less sampling anew with as many written tokens", columns, rows))
    return tables


def list_cells(arm: ArmResult) -> list[str]:
    """By `COLUMNS`."""
    against = arm.against
    return [
        arm.name if arm.samples == 1 else f"{arm.name} x{arm.samples}",
        str(arm.failures),
        _write(arm.repaired, ".0f", 100),
        _write(against.repaired if against else None, "+.0f", 100),
        f"{arm.reward.value:.2f}",
        _write(against.reward if against else None, "+.2f"),
        "–" if arm.metric is None else f"{arm.metric:.2f}",
        "–" if arm.broken is None else f"{100 * arm.broken:.0f}",
        f"{100 * arm.copies:.0f}",
        f"{arm.tokens:.0f}",
        "–" if arm.read is None else f"{arm.read:.0f}",
        "–" if arm.per_1000 is None else f"{arm.per_1000:.1f}",
        _write(against.per_1000 if against else None, "+.1f"),
    ]


def describe_drafts(probe: Probe) -> str:
    """What the model does by itself, in a sentence or two."""
    drafts = probe.drafts
    words = f"{drafts.right:.1%} of {drafts.problems} drafts have full reward; {drafts.failures} failures"
    if drafts.failure_reward is not None:
        words += f", their mean reward {drafts.failure_reward:.3f}"
    words += f"; {drafts.tokens:.0f} tokens a draft. "
    return words + "pass@k: " + ", ".join(f"{k}: {found.value:.1%}" for k, found in probe.pass_at.items()) + "."


def describe_settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def write_markdown(probe: Probe) -> str:
    """The whole probe as a page of Markdown."""
    lines = [f"# {probe.task} · {probe.model} · {probe.items} training problems of {probe.source}", ""]
    lines += [probe.expectation, "", describe_drafts(probe), ""]
    for table in list_tables(probe):
        lines += [f"## {table.title}", "", write_rows(table), ""]
    lines += [f"Columns: {LEGEND}.", "", f"Settings: {describe_settings(probe.settings)}.", ""]
    lines += [f"- {note}" for note in probe.notes]
    return "\n".join(lines).rstrip() + "\n"


def write_rows(table: Table) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _write(found: Estimate | None, form: str, times: float = 1.0) -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{times * found.value:{form}}"
    value, low, high = (f"{times * number + 0.0:{form}}" for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"
