"""docs/results.md, from the study's results files alone: the same files give the same bytes.

Every word that depends on a number is chosen by a rule that stands here and, in short, on the page. What somebody
concludes from it all stands in `notes.md`, which quotes no numbers, and stands under the first tables as it is. Left
out: anything that is not in a results file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from herl_bench.compare import statistics
from herl_bench.compare.outcomes import estimate_by_kind, estimate_mean, estimate_score
from herl_bench.evaluate.evaluation import pass_at_k

ARTICLE = {"gsm8k": 4.1, "humaneval": 3.7, "bbh": 3.8}
"""HeRL's gain over PPO in the article's table, in points."""
TOKEN_TARGET = 1 / 3
GREW = 0.01
"""Reward minus accuracy may grow by so much before it is called out."""
GRID = 8
ANSWER = {"gsm8k": "final_answer", "humaneval": "hidden_tests", "bbh": "right_answer"}
"""The criterion that says whether a response is right."""
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


def markdown(parts: Sequence[Any], results: Path, notes: Path) -> str:
    """parts: `study.py`'s, in the order of the page. results: the folder of their files. notes: what stands under the
    first tables."""
    files = {part.name: results / f"{part.name}.json" for part in parts}
    found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}
    seen = {view: [found[part.name] for part in parts if part.view == view and part.name in found] for view in VIEWS}
    sections = [HEAD, _glance(found), _decoded(seen["sampled"]), _carries(seen["variants"]), _unplanted(found)]
    sections += [_depth(found), notes.read_text(encoding="utf-8") if notes.is_file() else ""]
    for part in parts:
        if part.name in found:
            sections.append(
                f"## {part.name}\n{_head(part, found[part.name])}\n\n{VIEWS[part.view](part, found[part.name])}"
            )
    missing = [part for part in parts if part.name not in found or unfinished(found[part.name])]
    if missing:
        sections.append(_missing(missing, found))
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def unfinished(result: Results) -> int:
    """How many of a part's runs may still come."""
    return int(result["planned"] - result["finished"] - len(result.get("diverged", ())))


def _head(part: Any, result: Results) -> str:
    done = f" **So far {result['finished']} of {result['planned']}.**" if unfinished(result) else ""
    done += (
        f" **Diverged, stopped by the trainer, and left out: {', '.join(gone)}.**"
        if (gone := result.get("diverged"))
        else ""
    )
    how = [f"`{result['command']}`"]
    how += [f"{result['budget']:,} generated tokens a run"] if "budget" in result else []
    how += [f"with {', '.join(result['settings'])}"] if result["settings"] else []
    return f"{part.about}{done} {'; '.join(how)}."


def _missing(parts: Sequence[Any], found: Mapping[str, Results]) -> str:
    def state(part: Any) -> str:
        there = found.get(part.name)
        return f"{there['finished']} of {there['planned']}" if there else "not run yet"

    rows = [(part.name, state(part), part.about, f"`{part.command}`") for part in parts]
    return f"## Not run yet\n{table(('part', 'state', 'what', 'command'), rows)}"


# ---------------------------------------------------------------------------------------------------------- at a glance
def _glance(found: Mapping[str, Results]) -> str:
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
            else to_target(scores["herl"]["curve"], task["target"])
        )
        rows.append(
            (
                task["task"],
                len(contrast["seeds"]),
                percent(task["before"]["metric"]),
                bounds(scores["ppo"]["score"]),
                bounds(scores["herl"]["score"]),
                signed_bounds(contrast["difference"]),
                ends(contrast["hierarchical"]),
                f"+{ARTICLE[task['task']]}",
                "never" if reached is None else f"{100 * reached / result['budget']:.0f} %",
            )
        )
        sentences += [
            f"- {gain_sentence(task['task'], contrast)}",
            f"- {tokens_sentence(task['task'], reached, result['budget'])}",
        ]
        tried = found.get(f"curves-{task['task']}-faster")
        sentences += [f"- {told}"] if tried and (told := tried_sentence(tried)) else []
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
        f"## HeRL against PPO\n{table(columns, rows)}\n\n{chr(10).join(sentences)}\n\nRules: the gain is reproduced"
        " where the whole interval lies above the article's gain on the published benchmark, and it takes 3 seeds or"
        " more. Bootstrap: the same interval by a hierarchical bootstrap over seeds and problems, which with so few"
        " seeds covers the truth less often than it says ([comparison.md](comparison.md)); no verdict rests on it."
        " Tokens to PPO's end: where HeRL's accuracy on the held-out problems, mean over seeds, first reaches and then"
        " keeps on average what PPO ended with (the parts curves-*; where one is missing, the same of sampled accuracy"
        " in training, and of PPO's last quarter of tokens), as a share of the budget, which PPO spent whole; the"
        " target is a third."
    )


def gain_sentence(task: str, contrast: Mapping[str, Any]) -> str:
    """By the interval's ends against the article's gain on the task."""
    gain, one = ARTICLE[task], contrast["difference"]
    told = f"HeRL − PPO on {task} is {signed_bounds(one)}, the article's gain +{gain}"
    if len(contrast["seeds"]) < 3 or one["low"] is None:
        return f"{told}: **not enough seeds** for a verdict."
    if 100 * one["low"] > gain:
        return f"{told}: **reproduced**, the whole interval lies above it."
    if 100 * one["high"] < gain:
        return f"{told}: **not reproduced**, the whole interval lies below it."
    better = "HeRL is better than PPO, but " if one["low"] > 0 else ""
    return f"{told}: **open**, {better}the interval holds it."


def tried_sentence(result: Results) -> str:
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
        f" to have it, after {tokens:,} tokens: **{_target_word(tokens, result['budget'])}**. They were tried on the"
        " seeds that are compared."
    )


def tokens_sentence(task: str, reached: int | None, budget: int) -> str:
    if reached is None:
        return (
            f"HeRL's learning curve on {task} does not reach what PPO ended with: the target of a third of the tokens"
            " is **missed**."
        )
    return (
        f"HeRL on {task} has what PPO ended with after {reached:,} of {budget:,} tokens: the target of a third is"
        f" **{_target_word(reached, budget)}**."
    )


def _target_word(reached: int, budget: int) -> str:
    return "met" if reached <= TOKEN_TARGET * budget else "missed"


def to_target(curve: Sequence[Sequence[float]], target: float | None) -> int | None:
    """Tokens after which a mean learning curve is at the target and stays there on average."""
    if target is None:
        return None
    return statistics.tokens_to_target([int(point[0]) for point in curve], [point[1] for point in curve], target)


def _carries(results: Sequence[Results]) -> str:
    """Every variant of HeRL, from all parts that have any, in one table."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for result in results:
        (task,) = result["tasks"]
        against = {(c["arm"], c["baseline"]): c for c in task["contrasts"]}
        if ("herl", "ppo") not in against:
            continue
        world = f"{task['task']}, {result['policy']['changed']}" if "policy" in result else task["task"]
        whole, kept = result["arms"]["herl"], _kept(task)
        for arm in task["arms"]:
            name = arm["arm"]
            to_ppo, to_herl = (against.get((name, other)) for other in ("ppo", "herl"))
            if to_ppo is None or (world, name) in rows:
                continue
            changed = _settings({key: value for key, value in result["arms"][name].items() if whole.get(key) != value})
            row = (world, f"`{name}`", changed, _repaired(task["task"], arm), signed_bounds(to_ppo["difference"]))
            keeps = _whole(kept[name]) if name in kept else "–"
            rows[world, name] = (
                *row,
                *((keeps, signed_bounds(to_herl["difference"]), _word(to_herl)) if to_herl else ("", "", "")),
            )
    if not rows:
        return ""
    worlds = list(dict.fromkeys(world for world, _ in rows))
    grouped = sorted(rows.values(), key=lambda row: worlds.index(row[0]))
    columns = ("task", "arm", "HeRL with", "repaired, %", "− PPO", "keeps, %", "− HeRL", "than HeRL")
    return (
        "## What carries the gain\nHeRL, and HeRL with something changed; more of each under its part. Repaired: of"
        " the revisions of a wrong answer in training, how many were right. Keeps: of HeRL's gain over"
        f" PPO.\n\n{table(columns, grouped)}"
    )


def _repaired(task: str, arm: Mapping[str, Any]) -> str:
    found = next((repair for repair in arm["repairs"] if repair["criterion"] == ANSWER.get(task)), None)
    return percent(found["fixed"] / found["missed"]) if found and found["missed"] else "–"


def _kept(task: Mapping[str, Any]) -> dict[str, float]:
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


def _word(contrast: Mapping[str, Any]) -> str:
    """Of the verdict."""
    word, bound = contrast["verdict"]["word"], contrast["verdict"]["bound"]
    return word if bound is None else f"{word} {percent(bound)}"


def _unplanted(found: Mapping[str, Results]) -> str:
    """HeRL and PPO on problems without a planted misconception."""
    rows = []
    for name, result in found.items():
        if name != "reasoning_gym" and not name.startswith("plain-"):
            continue
        (task,) = result["tasks"]
        arms = {arm["arm"]: arm for arm in task["arms"]}
        contrast = next((c for c in task["contrasts"] if (c["arm"], c["baseline"]) == ("herl", "ppo")), None)
        if contrast is not None:
            scores = (bounds(arms[arm]["score"]) for arm in ("ppo", "herl"))
            rows.append(
                (
                    name,
                    percent(task["before"]["metric"]),
                    *scores,
                    signed_bounds(contrast["difference"]),
                    _word(contrast),
                )
            )
    if not rows:
        return ""
    return f"## Where nothing is planted\n{table(('part', 'base', 'PPO', 'HeRL', 'HeRL − PPO', 'than PPO'), rows)}"


def _depth(found: Mapping[str, Results]) -> str:
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
            signed_bounds(contrast["kinds"][kind]) if kind in contrast["kinds"] else "–"
            for kind in ("planted", "plain")
        ]
        base = task["before"]
        rows.append(
            (
                f"{share} %",
                percent(base["metric"]),
                percent(base.get("planted")),
                *(bounds(arms[arm]["score"]) for arm in ("ppo", "herl")),
                signed_bounds(contrast["difference"]),
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
        f" misconception to the starting policy:\n\n{table(columns, rows)}"
    )


# --------------------------------------------------------------------------------------------------------------- tuning
def tuning(part: Any, result: Results) -> str:
    """Every setting's final accuracy, and whether the study's own is the best of them."""
    (task,) = result["tasks"]
    ranked = sorted(task["arms"], key=lambda arm: -arm["score"]["value"])
    rows = [
        (
            _settings(result["arms"][arm["arm"]]),
            bounds(arm["score"]),
            *(bounds(arm["kinds"][kind]) for kind in ("planted", "plain") if arm["kinds"]),
        )
        for arm in ranked
    ]
    chosen = part.chosen
    own = [
        arm["arm"]
        for arm in ranked
        if all(chosen[k] == v for k, v in result["arms"][arm["arm"]].items() if k in chosen)
    ]
    return (
        f"{table(('settings', 'accuracy', 'planted', 'plain'), rows)}\n\nBase: {percent(task['before']['metric'])}. The"
        f" other parts train with {_settings(chosen)}: {_under_the_best(task, ranked[0], own)}."
    )


def _under_the_best(task: Mapping[str, Any], best: Mapping[str, Any], own: Sequence[str]) -> str:
    """How far the chosen setting is from the best one, on the same items of the one seed."""
    import numpy as np

    if not own:
        return "not among these"
    outcomes = {run["arm"]: run["outcomes"] for run in task["runs"]}
    pairs = [(a, b) for a, b in zip(outcomes[best["arm"]], outcomes[own[0]], strict=True) if "?" not in (a, b)]
    gain = np.array([float(a) - float(b) for a, b in pairs])
    if not gain.any():
        return "the best of these"
    low, high = statistics.mean_interval(gain)
    told = signed_bounds({"value": float(gain.mean()), "low": low, "high": high})
    return (
        f"the best of these is {told} points off,"
        f" {'which these problems cannot tell from none' if low <= 0 <= high else 'and better'}"
    )


def _settings(arm: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arm.items() if name not in ("method", "budget", "eval_items"))


# ---------------------------------------------------------------------------------------------------------- the methods
def methods(part: Any, result: Results) -> str:
    out = []
    for task in result["tasks"]:
        out += [
            _scores(task),
            _verdicts(task),
            _curves(task),
            _families(task),
            _gaming(task, result["curve"]),
            _critic(task),
        ]
    return "\n\n".join(filter(None, out))


def variants(part: Any, result: Results) -> str:
    """Arms that change one thing about HeRL, between PPO and HeRL."""
    out = []
    for task in result["tasks"]:
        out += [_scores(task), _shares(task), _curves(task), _gaming(task, result["curve"]), _critic(task)]
    return "\n\n".join(filter(None, out))


def _shares(task: Mapping[str, Any]) -> str:
    """How much of HeRL's gain each variant keeps, and what its contrast with HeRL says."""
    if not any((c["arm"], c["baseline"]) == ("herl", "ppo") for c in task["contrasts"]):
        return ""
    kept, lines = _kept(task), []
    for contrast in task["contrasts"]:
        arm = contrast["arm"]
        if contrast["baseline"] != "herl" or arm == "ppo":
            continue
        share = (
            f" It keeps {_whole(kept[arm])} % of HeRL's gain over PPO{', less than half' if kept[arm] < 0.5 else ''}."
            if arm in kept
            else ""
        )
        lines.append(f"- `{arm}`: {contrast['verdict']['sentence']}{share}")
    return "\n".join(lines)


def scores(part: Any, result: Results) -> str:
    return "\n\n".join(f"{_scores(task)}\n\n{_verdicts(task)}" for task in result["tasks"])


def _scores(task: Mapping[str, Any]) -> str:
    """Every arm, beside its difference to each baseline."""
    baselines = list(dict.fromkeys(c["baseline"] for c in task["contrasts"]))
    against = {(c["arm"], c["baseline"]): c for c in task["contrasts"]}
    first = "".join(f"**The arms are not equal: {sentence}.**\n\n" for sentence in task["unequal"])
    first += "".join(f"{note}\n\n" for note in task["notes"])
    rows: list[Sequence[Any]] = [
        ("base", "", percent(task["before"]["metric"]), *_kinds(task["before"]), *[""] * (2 * len(baselines)), "", "")
    ]
    for arm in task["arms"]:
        cells = []
        for name in baselines:
            contrast = against.get((arm["arm"], name))
            cells += (
                ["", ""] if contrast is None else [signed_bounds(contrast["difference"]), p_value(contrast["p_holm"])]
            )
        kinds = [bounds(arm["kinds"][kind]) if kind in arm["kinds"] else "–" for kind in ("planted", "plain")]
        spent = arm["spent"]
        rows.append(
            (
                f"`{arm['arm']}`",
                len(arm["seeds"]),
                bounds(arm["score"]),
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
    return first + table(columns, rows)


def _kinds(scores: Mapping[str, Any]) -> list[str]:
    return [percent(scores.get(kind)) for kind in ("planted", "plain")]


def _verdicts(task: Mapping[str, Any]) -> str:
    return "\n".join(f"- {c['verdict']['sentence']}" for c in task["contrasts"])


def _curves(task: Mapping[str, Any]) -> str:
    """Mean learning curves over seeds, at a few token counts that all arms reached."""
    import numpy as np

    curves = {arm["arm"]: arm["curve"] for arm in task["arms"] if arm["curve"]}
    if not curves:
        return ""
    start, stop = max(c[0][0] for c in curves.values()), min(c[-1][0] for c in curves.values())
    grid = [round(start + (stop - start) * i / (GRID - 1)) for i in range(GRID)]
    rows = []
    for arm, curve in curves.items():
        heights = np.interp(grid, [p[0] for p in curve], [p[1] for p in curve])
        reached = to_target(curve, task["target"])
        own = next(a for a in task["arms"] if a["arm"] == arm)["tokens_to_target"]
        per_seed = ", ".join("never" if tokens is None else f"{tokens / 1000:.0f}k" for tokens in own)
        rows.append(
            (f"`{arm}`", *(percent(h) for h in heights), "never" if reached is None else f"{reached:,}", per_seed)
        )
    columns = (
        "sampled accuracy after",
        *(f"{tokens / 1000:.0f}k" for tokens in grid),
        f"to {percent(task['target'])}",
        "each seed",
    )
    return f"Learning curves, mean over seeds, against generated tokens:\n\n{table(columns, rows)}"


def curves(part: Any, result: Results) -> str:
    """Accuracy on the held-out problems while training."""
    import numpy as np

    out = []
    for task in result["tasks"]:
        held = {arm["arm"]: arm["held_out"] for arm in task["arms"]}
        stop = min(curve[-1][0] for curve in held.values())
        grid = [round(stop * i / GRID) for i in range(GRID + 1)]
        rows = []
        for arm in task["arms"]:
            heights = np.interp(grid, [p[0] for p in held[arm["arm"]]], [p[1] for p in held[arm["arm"]]])
            reached = arm["tokens_to_final"]
            rows.append((f"`{arm['arm']}`", *map(percent, heights), "never" if reached is None else f"{reached:,}"))
        final = percent(task["arms"][0]["held_out"][-1][1])
        columns = ("accuracy after", *(f"{tokens / 1000:.0f}k" for tokens in grid), f"to {final}")
        out.append(f"{_scores(task)}\n\nMean over seeds, against generated tokens:\n\n{table(columns, rows)}")
    return "\n\n".join(out)


def _families(task: Mapping[str, Any]) -> str:
    """Per family of problems: base, and the mean over seeds of each arm."""
    names = list(task["before"]["families"])
    if not names:
        return ""
    arms = _by_arm(task)
    rows = []
    for name in names:
        means = [mean(run["after"]["families"].get(name) for run in runs) for runs in arms.values()]
        rows.append(
            (
                f"{name}{' (planted)' if name in task['planted_families'] else ''}",
                percent(task["before"]["families"][name]),
                *map(percent, means),
            )
        )
    return f"Per family of problems:\n\n{table(('family', 'base', *(f'`{arm}`' for arm in arms)), rows)}"


# -------------------------------------------------------------------------- is the reward gamed, is the critic any good
def _gaming(task: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The reward beside the metric after training, and the reward without and with the bonus at the start and the end
    of training."""
    base = task["before"]["reward"] - task["before"]["metric"]
    rows, grew = [], []
    for arm, runs in _by_arm(task).items():
        reward, gap = (
            mean(run["after"]["reward"] for run in runs),
            mean(run["after"]["reward"] - run["after"]["metric"] for run in runs),
        )
        assert gap is not None
        grew += [f"`{arm}`"] if gap - base > GREW else []
        plain = [mean(_quarter(run, columns.index("reward"), last) for run in runs) for last in (False, True)]
        bonus = [
            mean((_quarter(run, columns.index("bonus"), last) or 0.0) * run["bonus_coef"] for run in runs)
            for last in (False, True)
        ]
        with_bonus = [(r or 0.0) + (b or 0.0) for r, b in zip(plain, bonus, strict=True)]
        rows.append(
            (
                f"`{arm}`",
                percent(reward),
                signed(gap),
                signed(gap - base),
                *map(percent, plain),
                *map(percent, with_bonus),
            )
        )
    told = (
        "No arm's reward outgrew its accuracy"
        if not grew
        else f"The reward outgrew the accuracy with {', '.join(grew)}"
    )
    return (
        f"Is the reward gamed? Reward − accuracy was {signed(base)} before training; in training, first and last"
        " quarter of the"
        f" steps:\n\n{table(('', 'reward', '− accuracy', 'grew', 'reward, first', 'last', 'with bonus, first', 'last'), rows)}\n\n{told}"
        f" by more than {percent(GREW)} points."
    )


def _by_arm(task: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    out: dict[str, list[Mapping[str, Any]]] = {}
    for run in task["runs"]:
        out.setdefault(run["arm"], []).append(run)
    return out


def _quarter(run: Mapping[str, Any], column: int, last: bool) -> float | None:
    rows = run["curve"]
    size = max(1, len(rows) // 4)
    return mean(row[column] for row in (rows[-size:] if last else rows[:size]))


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


def _critic(task: Mapping[str, Any]) -> str:
    """What the bonus critics said of drafts before these trained them, at the end of each run; means over seeds."""
    arms = {arm: runs for arm, runs in _by_arm(task).items() if any(run["bonus"] for run in runs)}
    if not arms:
        return ""
    rows: list[Sequence[Any]] = []
    for label, name, form in CRITIC:
        values = [mean(run["bonus"].get(f"bonus_{name}") for run in runs) for runs in arms.values()]
        if any(value is not None for value in values):
            rows.append((label, *("–" if value is None else format(value, form).replace("-", "−") for value in values)))
    shares = [mean(mean(run["gate_open"]) for run in runs) for runs in arms.values()]
    rows.append(("gate open, % of the steps", *map(percent, shares)))
    rows.append(
        (
            "gate open at the end, runs",
            *(f"{sum(bool(run['gate_open'][-1]) for run in runs)} of {len(runs)}" for runs in arms.values()),
        )
    )
    return (
        "The bonus critic, on drafts it had not learnt from, at the end of"
        f" training:\n\n{table(('', *(f'`{arm}`' for arm in arms)), rows)}"
    )


# -------------------------------------------------------------------------------------------------- sampled, not greedy
SAMPLED = ("metric", "base", "PPO", "HeRL", "HeRL − PPO", "on planted families", "on plain ones")


def _decoded(results: Sequence[Results]) -> str:
    """The gain where responses are sampled, of all tasks in one table."""
    compared = {_who(result): found for result in results if (found := _passes(result))}
    rows = [(name, *row) for name, found in compared.items() for row in _sampled_rows(found)]
    if not rows:
        return ""
    sentences = [f"- {sampled_sentence(name, found['pass@1']['gain'])}" for name, found in compared.items()]
    return (
        "## Sampled instead of greedy\nThe policies of the first table, and where a variant of HeRL is named beside"
        " the task, that one's; at the temperature of training. pass@1: the share of sampled responses that are right;"
        f" pass@k: of problems, that any of k is.\n\n{table(('task', *SAMPLED), rows)}\n\n{chr(10).join(sentences)}"
    )


def _who(result: Results) -> str:
    """The task, and the arm that stands for HeRL where it is not `herl`."""
    _, arm = result["methods"]
    return str(result["task"]) if arm == "herl" else f"{result['task']}, {arm}"


def sampled_sentence(task: str, gain: Mapping[str, Any]) -> str:
    """Whether the greedy gain is also one of sampled responses, by the interval's side of 0."""
    told = f"{signed_bounds(gain)} in pass@1"
    if gain["low"] is None:
        return f"Sampled responses on {task}: **too few** for a verdict, {told}."
    side = "**better**" if gain["low"] > 0 else "**worse**" if gain["high"] < 0 else "**no better** that can be told"
    return f"Sampled responses of HeRL on {task} are {side} than PPO's: {told}."


def sampled(part: Any, result: Results) -> str:
    policies = ("base", *result["methods"])
    tokens = {policy: mean(run["tokens"] for run in result["runs"] if run["policy"] == policy) for policy in policies}
    spent = ", ".join(f"`{policy}` {count:,.0f}" for policy, count in tokens.items() if count)
    return (
        f"{table(SAMPLED, _sampled_rows(_passes(result)))}\n\nOver {result['items']} problems and"
        f" {len(result['seeds'])} seeds of training, {result['n']} responses to each problem at temperature"
        f" {result['temperature']}. Tokens of one evaluation: {spent}."
    )


def _sampled_rows(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row per metric of `_passes`."""
    return [
        (
            name, percent(of["base"]["value"]), bounds(of["ppo"]), bounds(of["herl"]), signed_bounds(of["gain"]),
            *(signed_bounds(of[kind]) if kind in of else "–" for kind in ("planted", "plain")),
        )
        for name, of in found.items()
    ]  # fmt: skip


def _passes(result: Results) -> dict[str, dict[str, Mapping[str, Any]]]:
    """By metric the intervals of base, ppo and herl (whatever arms stand for them), of HeRL's gain over PPO, and of
    that by kind of problem. Undecided problems are left out, and so are seeds that a method lacks."""
    import numpy as np

    n, runs = result["n"], {(run["policy"], run["seed"]): run["right"] for run in result["runs"]}
    ppo, herl = result["methods"]
    seeds = [seed for seed in result["seeds"] if (ppo, seed) in runs and (herl, seed) in runs]
    if not seeds or ("base", None) not in runs:
        return {}
    planted = [None if mark == "?" else mark == "1" for mark in result["planted"]]
    stands = {
        "base": [("base", None)],
        "ppo": [(ppo, seed) for seed in seeds],
        "herl": [(herl, seed) for seed in seeds],
    }
    out = {}
    for k in (1, n):
        has = {
            name: np.array([[np.nan if c is None else pass_at_k(n, c, k) for c in runs[one]] for one in its])
            for name, its in stands.items()
        }
        gain = has["herl"] - has["ppo"]
        found = {
            "base": estimate_mean(has["base"]),
            "ppo": estimate_score(has["ppo"]),
            "herl": estimate_score(has["herl"]),
            "gain": estimate_mean(gain),
        }
        out[f"pass@{k}"] = {name: asdict(one) for name, one in {**found, **estimate_by_kind(gain, planted)}.items()}
    return out


# ---------------------------------------------------------------------------------------- self-improvement at test time
def refined(part: Any, result: Results) -> str:
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
                *(percent(one[0]) for one in means),
                signed(last[0] - means[0][0]),
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
        f"{table(columns, rows)}\n\nAccuracy over {result['items']} problems; fixed and broken are problems, after the"
        " last round. `ORACLE` sees the gold answer and is no method. The base policy's rows are best of revision"
        " without training."
    )


# --------------------------------------------------------------------------------------------------------- small things
def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [
        " | ".join(map(str, columns)),
        "|".join("---" for _ in columns),
        *(" | ".join(map(str, row)) for row in rows),
    ]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _whole(share: float) -> str:
    """Per cent without decimals; no minus before a zero."""
    return str(round(100 * share)).replace("-", "−")


def signed(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}".replace("-", "−")


def bounds(one: Mapping[str, Any]) -> str:
    return percent(one["value"]) + ("" if one["low"] is None else f" ({percent(one['low'])} to {percent(one['high'])})")


def signed_bounds(one: Mapping[str, Any]) -> str:
    return signed(one["value"]) + ("" if one["low"] is None else f" ({ends(one)})")


def ends(one: Mapping[str, Any]) -> str:
    return "–" if one["low"] is None else f"{signed(one['low'])} to {signed(one['high'])}"


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


VIEWS: Mapping[str, Callable[[Any, Results], str]] = {
    "tuning": tuning,
    "methods": methods,
    "curves": curves,
    "scores": scores,
    "variants": variants,
    "refined": refined,
    "sampled": sampled,
}
