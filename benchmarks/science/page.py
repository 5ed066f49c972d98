"""docs/results.md, from the study's tables alone: the same tables give the same bytes.

Every word that depends on a number is chosen by a rule that stands here and, in short, on the page. What somebody
concludes from it all stands in `notes.md`, which quotes no numbers, and stands under the first tables as it is. Left
out: anything that is not in a table; every number is computed in `tables.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tables import mean

ARTICLE = {"gsm8k": 4.1, "humaneval": 3.7, "bbh": 3.8}
"""HeRL's gain over PPO in the article's table, in points."""
TOKEN_TARGET = 1 / 3
GREW = 0.01
"""Reward minus accuracy may grow by so much before it is called out."""
Results = Mapping[str, Any]

HEAD = """# Results of the study

Made by `benchmarks/science/study.py` from the files in `benchmarks/science/results/`, which hold every number below with command, seeds and versions;
not written by hand. `python benchmarks/science/study.py --collect` makes it anew, `--parts NAME` runs a part that is missing.

Everything is measured on the embedded policies and their synthetic worlds, with planted misconceptions unless said otherwise. Accuracy is the task's
primary metric in per cent, greedy, without any guidance, on held-out problems. Intervals are at 95 %, for other seeds *and* other problems
([comparison.md](comparison.md)); p-values are corrected over the comparisons of a column (Holm). Differences are in points. A learning curve is
the accuracy of the plain prompts' responses while training: sampled at temperature 1, on problems never seen before, so it lies under the greedy one.
Learning rate, responses and passes per step, and entropy bonus were tuned for PPO, on a seed that is not compared; all other arms take PPO's,
unless said otherwise. What passes HeRL would choose is under tune-herl-*.
"""


def write_page(parts: Sequence[Any], tables: Mapping[str, Results], notes: Path) -> str:
    """parts: `study.py`'s, in the order of the page. tables: by part. notes: what stands under the first tables."""
    found = {part.name: tables[part.name] for part in parts if part.name in tables}
    seen = {view: [found[part.name] for part in parts if part.view == view and part.name in found] for view in VIEWS}
    sections = [
        HEAD,
        _write_glance(found),
        _compare_sampled(seen["sampled"]),
        _compare_variants(seen["variants"]),
        _compare_unplanted(found),
    ]
    sections += [_compare_depths(found), notes.read_text(encoding="utf-8") if notes.is_file() else ""]
    for part in parts:
        if part.name in found:
            sections.append(
                f"## {part.name}\n{_write_head(part, found[part.name])}\n\n{VIEWS[part.view](part, found[part.name])}"
            )
    missing = [part for part in parts if part.name not in found or count_unfinished(found[part.name])]
    if missing:
        sections.append(_list_missing(missing, found))
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def count_unfinished(result: Results) -> int:
    """How many of a part's runs may still come."""
    return int(result["planned"] - result["finished"] - len(result.get("diverged", ())))


def _write_head(part: Any, result: Results) -> str:
    done = f" **So far {result['finished']} of {result['planned']}.**" if count_unfinished(result) else ""
    done += (
        f" **Diverged, stopped by the trainer, and left out: {', '.join(gone)}.**"
        if (gone := result.get("diverged"))
        else ""
    )
    how = [f"`{result['command']}`"]
    how += [f"{result['budget']:,} generated tokens a run"] if "budget" in result else []
    how += [f"with {', '.join(result['settings'])}"] if result["settings"] else []
    return f"{part.about}{done} {'; '.join(how)}."


def _list_missing(parts: Sequence[Any], found: Mapping[str, Results]) -> str:
    def state(part: Any) -> str:
        there = found.get(part.name)
        return f"{there['finished']} of {there['planned']}" if there else "not run yet"

    rows = [(part.name, state(part), part.about, f"`{part.command}`") for part in parts]
    return f"## Not run yet\n{make_table(('part', 'state', 'what', 'command'), rows)}"


# ---------------------------------------------------------------------------------------------------------- at a glance
def _write_glance(found: Mapping[str, Results]) -> str:
    rows, sentences = [], []
    for name, result in found.items():
        if not name.startswith("main-"):
            continue
        (task,) = result["tasks"]
        contrast = next((c for c in task["contrasts"] if (c["arm"], c["baseline"]) == ("herl", "ppo")), None)
        scores = {arm["arm"]: arm for arm in task["arms"]}
        if contrast is None:
            continue
        evaluated = found.get(f"curves-{task['task']}")
        reached = (
            next(arm["tokens_to_final"] for arm in evaluated["tasks"][0]["arms"] if arm["arm"] == "herl")
            if evaluated
            else scores["herl"]["reached"]
        )
        rows.append(
            (
                task["task"],
                len(contrast["seeds"]),
                write_percent(task["before"]["metric"]),
                write_score(scores["ppo"]["score"]),
                write_score(scores["herl"]["score"]),
                write_gain(contrast["difference"]),
                write_ends(contrast["hierarchical"]),
                f"+{ARTICLE[task['task']]}",
                "never" if reached is None else f"{100 * reached / result['budget']:.0f} %",
            )
        )
        sentences += [
            f"- {judge_gain(task['task'], contrast)}",
            f"- {judge_tokens(task['task'], reached, result['budget'])}",
        ]
        tried = found.get(f"curves-{task['task']}-faster")
        sentences += [f"- {told}"] if tried and (told := judge_tried(tried)) else []
    if not rows:
        return ""
    columns = (
        "task",
        "seeds",
        "base",
        "PPO",
        "HeRL",
        "HeRL − PPO",
        "bootstrap",
        "the article's",
        "tokens to PPO's end",
    )
    return (
        f"## HeRL against PPO\n{make_table(columns, rows)}\n\n{chr(10).join(sentences)}\n\nRules: the gain is reproduced"
        " where the whole interval lies above the article's gain on the published benchmark, and it takes 3 seeds or"
        " more. Bootstrap: the same interval by a hierarchical bootstrap over seeds and problems, which with so few"
        " seeds covers the truth less often than it says ([comparison.md](comparison.md)); no verdict rests on it."
        " Tokens to PPO's end: where HeRL's accuracy on the held-out problems, mean over seeds, first reaches and then"
        " keeps on average what PPO ended with (the parts curves-*; where one is missing, the same of sampled accuracy"
        " in training, and of PPO's last quarter of tokens), as a share of the budget, which PPO spent whole; the"
        " target is a third."
    )


def judge_gain(task: str, contrast: Mapping[str, Any]) -> str:
    """By the interval's ends against the article's gain on the task."""
    gain, one = ARTICLE[task], contrast["difference"]
    told = f"HeRL − PPO on {task} is {write_gain(one)}, the article's gain +{gain}"
    if len(contrast["seeds"]) < 3 or one["low"] is None:
        return f"{told}: **not enough seeds** for a verdict."
    if 100 * one["low"] > gain:
        return f"{told}: **reproduced**, the whole interval lies above it."
    if 100 * one["high"] < gain:
        return f"{told}: **not reproduced**, the whole interval lies below it."
    better = "HeRL is better than PPO, but " if one["low"] > 0 else ""
    return f"{told}: **open**, {better}the interval holds it."


def judge_tried(result: Results) -> str:
    """Of the settings that were tried because the target of tokens was missed, the one that reaches PPO's end first;
    empty where none does."""
    (task,) = result["tasks"]
    own = {name for name, arm in result["arms"].items() if arm["method"] == "herl" and name != "herl"}
    reached = [
        (arm["tokens_to_final"], arm["arm"])
        for arm in task["arms"]
        if arm["arm"] in own and arm["tokens_to_final"] is not None
    ]
    if not reached:
        return ""
    tokens, first = min(reached)
    return (
        f"Of the settings of HeRL that were tried for that on {task['task']} ({result['part']}), `{first}` is the first"
        f" to have it, after {tokens:,} tokens: **{_judge_target(tokens, result['budget'])}**. They were tried on the"
        " seeds that are compared."
    )


def judge_tokens(task: str, reached: int | None, budget: int) -> str:
    if reached is None:
        return (
            f"HeRL's learning curve on {task} does not reach what PPO ended with: the target of a third of the tokens"
            " is **missed**."
        )
    return (
        f"HeRL on {task} has what PPO ended with after {reached:,} of {budget:,} tokens: the target of a third is"
        f" **{_judge_target(reached, budget)}**."
    )


def _judge_target(reached: int, budget: int) -> str:
    return "met" if reached <= TOKEN_TARGET * budget else "missed"


def _compare_variants(results: Sequence[Results]) -> str:
    """Every variant of HeRL, from all parts that have any, in one table."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for result in results:
        (task,) = result["tasks"]
        against = {(c["arm"], c["baseline"]): c for c in task["contrasts"]}
        if ("herl", "ppo") not in against:
            continue
        world = f"{task['task']}, {result['policy']['changed']}" if "policy" in result else task["task"]
        whole, kept = result["arms"]["herl"], _measure_kept(task)
        for arm in task["arms"]:
            name = arm["arm"]
            to_ppo, to_herl = (against.get((name, other)) for other in ("ppo", "herl"))
            if to_ppo is None or (world, name) in rows:
                continue
            changed = _write_settings(
                {key: value for key, value in result["arms"][name].items() if whole.get(key) != value}
            )
            row = (world, f"`{name}`", changed, write_percent(arm["repaired"]), write_gain(to_ppo["difference"]))
            keeps = write_whole(kept[name]) if name in kept else "–"
            rows[world, name] = (
                *row,
                *((keeps, write_gain(to_herl["difference"]), _write_verdict(to_herl)) if to_herl else ("", "", "")),
            )
    if not rows:
        return ""
    worlds = list(dict.fromkeys(world for world, _ in rows))
    grouped = sorted(rows.values(), key=lambda row: worlds.index(row[0]))
    columns = ("task", "arm", "HeRL with", "repaired, %", "− PPO", "keeps, %", "− HeRL", "than HeRL")
    return (
        "## What carries the gain\nHeRL, and HeRL with something changed; more of each under its part. Repaired: of"
        " the revisions of a wrong answer in training, how many were right. Keeps: of HeRL's gain over"
        f" PPO.\n\n{make_table(columns, grouped)}"
    )


def _measure_kept(task: Mapping[str, Any]) -> dict[str, float]:
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


def _write_verdict(contrast: Mapping[str, Any]) -> str:
    """Of the verdict."""
    word, bound = contrast["verdict"]["word"], contrast["verdict"]["bound"]
    return word if bound is None else f"{word} {write_percent(bound)}"


def _compare_unplanted(found: Mapping[str, Results]) -> str:
    """HeRL and PPO on problems without a planted misconception."""
    rows = []
    for name, result in found.items():
        if name != "reasoning_gym" and not name.startswith("plain-"):
            continue
        (task,) = result["tasks"]
        arms = {arm["arm"]: arm for arm in task["arms"]}
        contrast = next((c for c in task["contrasts"] if (c["arm"], c["baseline"]) == ("herl", "ppo")), None)
        if contrast is not None:
            scores = (write_score(arms[arm]["score"]) for arm in ("ppo", "herl"))
            rows.append(
                (
                    name,
                    write_percent(task["before"]["metric"]),
                    *scores,
                    write_gain(contrast["difference"]),
                    _write_verdict(contrast),
                )
            )
    if not rows:
        return ""
    return f"## Where nothing is planted\n{make_table(('part', 'base', 'PPO', 'HeRL', 'HeRL − PPO', 'than PPO'), rows)}"


def _compare_depths(found: Mapping[str, Results]) -> str:
    """The curve over how deeply the misconception was planted; at 100 % it is the embedded policy."""
    names = {int(name.removeprefix("depth-")): name for name in found if name.startswith("depth-")}
    if not names:
        return ""
    rows = []
    for share, name in sorted({**names, 100: "main-gsm8k"}.items()):
        if name not in found:
            continue
        (task,) = found[name]["tasks"]
        arms = {arm["arm"]: arm for arm in task["arms"]}
        contrast = next((c for c in task["contrasts"] if c["arm"] == "herl"), None)
        if contrast is None:
            continue
        kinds = [
            write_gain(contrast["kinds"][kind]) if kind in contrast["kinds"] else "–" for kind in ("planted", "plain")
        ]
        base = task["before"]
        rows.append(
            (
                f"{share} %",
                write_percent(base["metric"]),
                write_percent(base.get("planted")),
                *(write_score(arms[arm]["score"]) for arm in ("ppo", "herl")),
                write_gain(contrast["difference"]),
                *kinds,
            )
        )
    columns = (
        "planted",
        "base",
        "base, planted families",
        "PPO",
        "HeRL",
        "HeRL − PPO",
        "on planted families",
        "on plain ones",
    )
    return (
        "## How deeply the error is planted\nShare of the planted families' plain demonstrations that showed the"
        f" misconception to the starting policy:\n\n{make_table(columns, rows)}"
    )


# --------------------------------------------------------------------------------------------------------------- tuning
def show_tuning(part: Any, result: Results) -> str:
    """Every setting's final accuracy, and whether the study's own is the best of them."""
    (task,) = result["tasks"]
    ranked = sorted(task["arms"], key=lambda arm: -arm["score"]["value"])
    rows = [
        (
            _write_settings(result["arms"][arm["arm"]]),
            write_score(arm["score"]),
            *(write_score(arm["kinds"][kind]) for kind in ("planted", "plain") if arm["kinds"]),
        )
        for arm in ranked
    ]
    return (
        f"{make_table(('settings', 'accuracy', 'planted', 'plain'), rows)}\n\nBase: {write_percent(task['before']['metric'])}. The"
        f" other parts train with {_write_settings(part.chosen)}: {_place_under_best(task)}."
    )


def _place_under_best(task: Mapping[str, Any]) -> str:
    """How far the chosen setting is from the best one."""
    one = task["under_the_best"]
    if one is None:
        return "not among these"
    if one["low"] == one["high"] == 0:
        return "the best of these"
    telling = "which these problems cannot tell from none" if one["low"] <= 0 <= one["high"] else "and better"
    return f"the best of these is {write_gain(one)} points off, {telling}"


def _write_settings(arm: Mapping[str, Any]) -> str:
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
    kept, lines = _measure_kept(task), []
    for contrast in task["contrasts"]:
        arm = contrast["arm"]
        if contrast["baseline"] != "herl" or arm == "ppo":
            continue
        share = (
            f" It keeps {write_whole(kept[arm])} % of HeRL's gain over PPO{', less than half' if kept[arm] < 0.5 else ''}."
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


# -------------------------------------------------------------------------------------------------- sampled, not greedy
SAMPLED = ("metric", "base", "PPO", "HeRL", "HeRL − PPO", "on planted families", "on plain ones")


def _compare_sampled(results: Sequence[Results]) -> str:
    """The gain where responses are sampled, of all tasks in one table."""
    compared = {_name_policies(result): result["passes"] for result in results if result["passes"]}
    rows = [(name, *row) for name, found in compared.items() for row in _list_passes(found)]
    if not rows:
        return ""
    sentences = [f"- {judge_sampled(name, found['pass@1']['gain'])}" for name, found in compared.items()]
    return (
        "## Sampled instead of greedy\nThe policies of the first table, and where a variant of HeRL is named beside"
        " the task, that one's; at the temperature of training. pass@1: the share of sampled responses that are right;"
        f" pass@k: of problems, that any of k is.\n\n{make_table(('task', *SAMPLED), rows)}\n\n{chr(10).join(sentences)}"
    )


def _name_policies(result: Results) -> str:
    """The task, and the arm that stands for HeRL where it is not `herl`."""
    _, arm = result["methods"]
    return str(result["task"]) if arm == "herl" else f"{result['task']}, {arm}"


def judge_sampled(task: str, gain: Mapping[str, Any]) -> str:
    """Whether the greedy gain is also one of sampled responses, by the interval's side of 0."""
    told = f"{write_gain(gain)} in pass@1"
    if gain["low"] is None:
        return f"Sampled responses on {task}: **too few** for a verdict, {told}."
    side = "**better**" if gain["low"] > 0 else "**worse**" if gain["high"] < 0 else "**no better** that can be told"
    return f"Sampled responses of HeRL on {task} are {side} than PPO's: {told}."


def show_sampled(part: Any, result: Results) -> str:
    spent = ", ".join(f"`{policy}` {count:,.0f}" for policy, count in result["tokens"].items() if count)
    return (
        f"{make_table(SAMPLED, _list_passes(result['passes']))}\n\nOver {result['items']} problems and"
        f" {len(result['seeds'])} seeds of training, {result['n']} responses to each problem at temperature"
        f" {result['temperature']}. Tokens of one evaluation: {spent}."
    )


def _list_passes(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row per metric of `tables.compare_passes`."""
    return [
        (
            name, write_percent(of["base"]["value"]), write_score(of["ppo"]), write_score(of["herl"]), write_gain(of["gain"]),
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
        f"{make_table(columns, rows)}\n\nAccuracy over {result['items']} problems; fixed and broken are problems, after the"
        " last round. `ORACLE` sees the gold answer and is no method. The base policy's rows are best of revision"
        " without training."
    )


# --------------------------------------------------------------------------------------------------------- small things
def make_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [
        " | ".join(map(str, columns)),
        "|".join("---" for _ in columns),
        *(" | ".join(map(str, row)) for row in rows),
    ]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def write_percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def write_whole(share: float) -> str:
    """Per cent without decimals; no minus before a zero."""
    return str(round(100 * share)).replace("-", "−")


def write_signed(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}".replace("-", "−")


def write_score(one: Mapping[str, Any]) -> str:
    return write_percent(one["value"]) + (
        "" if one["low"] is None else f" ({write_percent(one['low'])} to {write_percent(one['high'])})"
    )


def write_gain(one: Mapping[str, Any]) -> str:
    return write_signed(one["value"]) + ("" if one["low"] is None else f" ({write_ends(one)})")


def write_ends(one: Mapping[str, Any]) -> str:
    return "–" if one["low"] is None else f"{write_signed(one['low'])} to {write_signed(one['high'])}"


def write_p(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


VIEWS: Mapping[str, Callable[[Any, Results], str]] = {
    "tuning": show_tuning,
    "methods": show_methods,
    "curves": show_curves,
    "scores": show_scores,
    "variants": show_variants,
    "refined": show_refined,
    "sampled": show_sampled,
}
