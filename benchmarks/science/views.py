"""What stands under the heading of each part: a view per kind of part (`VIEWS`), out of the part's table.

Left out: the sections that speak of several parts (`page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tables import mean
from wording import make_table, write_gain, write_p, write_percent, write_score, write_signed, write_whole

GREW = 0.01
"""Reward minus accuracy may grow by so much before it is called out."""
Results = Mapping[str, Any]


# --------------------------------------------------------------------------------------------------------------- tuning
def show_tuning(part: Any, result: Results) -> str:
    """Every setting's final accuracy, and whether the study's own is the best of them."""
    (task,) = result["tasks"]
    ranked = sorted(task["arms"], key=lambda arm: -arm["score"]["value"])
    rows = [
        (
            write_settings(result["arms"][arm["arm"]]),
            write_score(arm["score"]),
            *(write_score(arm["kinds"][kind]) for kind in ("planted", "plain") if arm["kinds"]),
        )
        for arm in ranked
    ]
    base, place = write_percent(task["before"]["metric"]), _place_under_best(task)
    others = f"The other parts train with {write_settings(part.chosen)}: {place}."
    return f"{make_table(('settings', 'accuracy', 'planted', 'plain'), rows)}\n\nBase: {base}. {others}"


def _place_under_best(task: Mapping[str, Any]) -> str:
    """How far the chosen setting is from the best one."""
    one = task["under_the_best"]
    if one is None:
        return "not among these"
    if one["low"] == one["high"] == 0:
        return "the best of these"
    telling = "which these problems cannot tell from none" if one["low"] <= 0 <= one["high"] else "and better"
    return f"the best of these is {write_gain(one)} points off, {telling}"


def write_settings(arm: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arm.items() if name not in ("method", "budget", "eval_items"))


# ---------------------------------------------------------------------------------------------------------- the methods
def show_methods(part: Any, result: Results) -> str:
    out = []
    for task in result["tasks"]:
        out += [
            _write_scores(task),
            _write_verdicts(task),
            _write_curves(task),
            _write_families(task),
            _judge_gaming(task),
            _describe_critics(task),
        ]
    return "\n\n".join(filter(None, out))


def show_variants(part: Any, result: Results) -> str:
    """Arms that change one thing about HeRL, between PPO and HeRL."""
    out = []
    for task in result["tasks"]:
        out += [
            _write_scores(task),
            _write_shares(task),
            _write_curves(task),
            _judge_gaming(task),
            _describe_critics(task),
        ]
    return "\n\n".join(filter(None, out))


def _write_shares(task: Mapping[str, Any]) -> str:
    """How much of HeRL's gain each variant keeps, and what its contrast with HeRL says."""
    if not any((c["arm"], c["baseline"]) == ("herl", "ppo") for c in task["contrasts"]):
        return ""
    kept, lines = measure_kept(task), []
    for contrast in task["contrasts"]:
        arm = contrast["arm"]
        if contrast["baseline"] != "herl" or arm == "ppo":
            continue
        share = (
            f" It keeps {write_whole(kept[arm])} % of HeRL's gain over PPO"
            f"{', less than half' if kept[arm] < 0.5 else ''}."
            if arm in kept
            else ""
        )
        lines.append(f"- `{arm}`: {contrast['verdict']['sentence']}{share}")
    return "\n".join(lines)


def show_scores(part: Any, result: Results) -> str:
    return "\n\n".join(f"{_write_scores(task)}\n\n{_write_verdicts(task)}" for task in result["tasks"])


def _write_scores(task: Mapping[str, Any]) -> str:
    """Every arm, beside its difference to each baseline."""
    baselines = list(dict.fromkeys(c["baseline"] for c in task["contrasts"]))
    against = {(c["arm"], c["baseline"]): c for c in task["contrasts"]}
    first = "".join(f"**The arms are not equal: {sentence}.**\n\n" for sentence in task["unequal"])
    first += "".join(f"{note}\n\n" for note in task["notes"])
    rows: list[Sequence[Any]] = [
        (
            "base",
            "",
            write_percent(task["before"]["metric"]),
            *_write_kinds(task["before"]),
            *[""] * (2 * len(baselines)),
            "",
            "",
        )
    ]
    for arm in task["arms"]:
        cells = []
        for name in baselines:
            contrast = against.get((arm["arm"], name))
            cells += ["", ""] if contrast is None else [write_gain(contrast["difference"]), write_p(contrast["p_holm"])]
        kinds = [write_score(arm["kinds"][kind]) if kind in arm["kinds"] else "–" for kind in ("planted", "plain")]
        spent = arm["spent"]
        rows.append(
            (
                f"`{arm['arm']}`",
                len(arm["seeds"]),
                write_score(arm["score"]),
                *kinds,
                *cells,
                f"{spent['tokens']:,}",
                f"{spent['wall_s'] / 60:.1f}",
            )
        )
    columns = (
        "",
        "seeds",
        "accuracy",
        "planted",
        "plain",
        *(c for name in baselines for c in (f"− {name}", "p")),
        "tokens",
        "minutes",
    )
    return first + make_table(columns, rows)


def _write_kinds(scores: Mapping[str, Any]) -> list[str]:
    return [write_percent(scores.get(kind)) for kind in ("planted", "plain")]


def _write_verdicts(task: Mapping[str, Any]) -> str:
    return "\n".join(f"- {c['verdict']['sentence']}" for c in task["contrasts"])


def _write_curves(task: Mapping[str, Any]) -> str:
    """Mean learning curves over seeds, at a few token counts that all arms reached."""
    if not task["curve_tokens"]:
        return ""
    rows = []
    for arm in task["arms"]:
        if arm["curve"]:
            reached = "never" if arm["reached"] is None else f"{arm['reached']:,}"
            per_seed = ("never" if tokens is None else f"{tokens / 1000:.0f}k" for tokens in arm["tokens_to_target"])
            rows.append((f"`{arm['arm']}`", *map(write_percent, arm["curve"]), reached, ", ".join(per_seed)))
    counts = (f"{tokens / 1000:.0f}k" for tokens in task["curve_tokens"])
    columns = ("sampled accuracy after", *counts, f"to {write_percent(task['target'])}", "each seed")
    return f"Learning curves, mean over seeds, against generated tokens:\n\n{make_table(columns, rows)}"


def show_curves(part: Any, result: Results) -> str:
    """Accuracy on the held-out problems while training."""
    out = []
    for task in result["tasks"]:
        rows = []
        for arm in task["arms"]:
            reached = "never" if arm["tokens_to_final"] is None else f"{arm['tokens_to_final']:,}"
            rows.append((f"`{arm['arm']}`", *map(write_percent, arm["held_out"]), reached))
        counts = (f"{tokens / 1000:.0f}k" for tokens in task["held_tokens"])
        columns = ("accuracy after", *counts, f"to {write_percent(task['ended'])}")
        out.append(
            f"{_write_scores(task)}\n\nMean over seeds, against generated tokens:\n\n{make_table(columns, rows)}"
        )
    return "\n\n".join(out)


def _write_families(task: Mapping[str, Any]) -> str:
    """Per family of problems: base, and the mean over seeds of each arm."""
    base = task["before"]["families"]
    if not base:
        return ""
    rows = []
    for name, share in base.items():
        planted = " (planted)" if name in task["planted_families"] else ""
        rows.append(
            (f"{name}{planted}", write_percent(share), *(write_percent(arm["families"][name]) for arm in task["arms"]))
        )
    columns = ("family", "base", *(f"`{arm['arm']}`" for arm in task["arms"]))
    return f"Per family of problems:\n\n{make_table(columns, rows)}"


# -------------------------------------------------------------------------- is the reward gamed, is the critic any good
def _judge_gaming(task: Mapping[str, Any]) -> str:
    """The reward beside the metric after training, and the reward without and with the bonus at the start and the end
    of training."""
    base = task["before"]["reward"] - task["before"]["metric"]
    rows, grew = [], []
    for arm in task["arms"]:
        name, gap = f"`{arm['arm']}`", arm["gap"]
        grew += [name] if gap - base > GREW else []
        quarters = map(write_percent, (*arm["plain"], *arm["with_bonus"]))
        rows.append((name, write_percent(arm["reward"]), write_signed(gap), write_signed(gap - base), *quarters))
    told = f"The reward outgrew the accuracy with {', '.join(grew)}" if grew else "No arm's reward outgrew its accuracy"
    columns = ("", "reward", "− accuracy", "grew", "reward, first", "last", "with bonus, first", "last")
    return (
        f"Is the reward gamed? Reward − accuracy was {write_signed(base)} before training; in training, first and last"
        f" quarter of the steps:\n\n{make_table(columns, rows)}\n\n{told} by more than {write_percent(GREW)} points."
    )


CRITIC = (
    ("mean absolute error", "mae", ".3f"),
    ("of a constant", "mae_constant", ".3f"),
    ("of c (1 − r)", "mae_headroom", ".3f"),
    ("explained variance", "explained_variance", "+.2f"),
    ("of a constant", "explained_variance_constant", "+.2f"),
    ("of c (1 − r)", "explained_variance_headroom", "+.2f"),
    ("Spearman", "spearman", "+.2f"),
    ("AUROC for a gain", "auroc", ".2f"),
    ("calibration error", "ece", ".3f"),
    ("bias", "bias", "+.3f"),
    ("drift", "drift", "+.3f"),
)


def _describe_critics(task: Mapping[str, Any]) -> str:
    """What the bonus critics said of drafts before these trained them, at the end of each run; means over seeds."""
    critics = {arm["arm"]: arm["critic"] for arm in task["arms"] if arm["critic"]}
    if not critics:
        return ""
    rows: list[Sequence[Any]] = []
    for label, name, form in CRITIC:
        values = [critic[name] for critic in critics.values()]
        if any(value is not None for value in values):
            rows.append((label, *("–" if value is None else format(value, form).replace("-", "−") for value in values)))
    rows.append(("gate open, % of the steps", *(write_percent(critic["gate_open"]) for critic in critics.values())))
    at_end = (f"{critic['open_at_end']} of {critic['runs']}" for critic in critics.values())
    rows.append(("gate open at the end, runs", *at_end))
    return (
        "The bonus critic, on drafts it had not learnt from, at the end of"
        f" training:\n\n{make_table(('', *(f'`{arm}`' for arm in critics)), rows)}"
    )


def measure_kept(task: Mapping[str, Any]) -> dict[str, float]:
    """By variant of HeRL, how much of HeRL's gain over PPO it keeps; empty where HeRL is not better."""
    against = {(c["arm"], c["baseline"]): c for c in task["contrasts"]}
    whole = against["herl", "ppo"]
    if whole["verdict"]["word"] != "better":
        return {}
    gain = whole["difference"]["value"]
    return {
        arm: c["difference"]["value"] / gain
        for (arm, baseline), c in against.items()
        if baseline == "ppo" and (arm, "herl") in against
    }


def write_verdict(contrast: Mapping[str, Any]) -> str:
    """Of the verdict."""
    word, bound = contrast["verdict"]["word"], contrast["verdict"]["bound"]
    return word if bound is None else f"{word} {write_percent(bound)}"


# -------------------------------------------------------------------------------------------------- sampled, not greedy
SAMPLED = ("metric", "base", "PPO", "HeRL", "HeRL − PPO", "on planted families", "on plain ones")


def show_sampled(part: Any, result: Results) -> str:
    spent = ", ".join(f"`{policy}` {count:,.0f}" for policy, count in result["tokens"].items() if count)
    return (
        f"{make_table(SAMPLED, list_passes(result['passes']))}\n\nOver {result['items']} problems and"
        f" {len(result['seeds'])} seeds of training, {result['n']} responses to each problem at temperature"
        f" {result['temperature']}. Tokens of one evaluation: {spent}."
    )


def list_passes(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row per metric of `tables.compare_passes`."""
    return [
        (
            name,
            write_percent(of["base"]["value"]), write_score(of["ppo"]), write_score(of["herl"]), write_gain(of["gain"]),
            *(write_gain(of[kind]) if kind in of else "–" for kind in ("planted", "plain")),
        )
        for name, of in found.items()
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------- self-improvement at test time
def show_refined(part: Any, result: Results) -> str:
    """Means over the seeds of a policy. fixed, broken: of all items, against the drafts."""
    names, groups = result["round"], dict[tuple[str, str], list[Any]]()
    for run in result["runs"]:
        groups.setdefault((run["policy"], run["critique"]), []).append(run["rounds"])
    rows = []
    for (policy, critique), runs in groups.items():
        means = [[mean(run[r][i] for run in runs) or 0.0 for i in range(len(names))] for r in range(len(runs[0]))]
        last, at = means[-1], names.index
        rows.append(
            (
                f"`{policy}`",
                critique.upper() if critique == "oracle" else critique,
                len(runs),
                *(write_percent(one[0]) for one in means),
                write_signed(last[0] - means[0][0]),
                *(f"{last[at(name)]:.0f}" for name in ("fixed", "broken")),
                f"{means[0][at('tokens')]:,.0f}",
                f"{sum(one[at('tokens')] for one in means[1:]):,.0f}",
            )
        )
    rounds = [f"round {i}" for i in range(1, result["rounds"] + 1)]
    columns = (
        "policy",
        "critique",
        "runs",
        "drafts",
        *rounds,
        "gain",
        "fixed",
        "broken",
        "tokens, drafts",
        "tokens, rounds",
    )
    return (
        f"{make_table(columns, rows)}\n\nAccuracy over {result['items']} problems; fixed and broken are problems,"
        " after the last round. `ORACLE` sees the gold answer and is no method. The base policy's rows are best of"
        " revision without training."
    )


VIEWS: Mapping[str, Callable[[Any, Results], str]] = {
    "tuning": show_tuning,
    "methods": show_methods,
    "curves": show_curves,
    "scores": show_scores,
    "variants": show_variants,
    "refined": show_refined,
    "sampled": show_sampled,
}
