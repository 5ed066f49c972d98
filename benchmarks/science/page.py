"""docs/results.md, from the study's tables alone: the same tables give the same bytes.

Every word that depends on a number is chosen by a rule that stands here and, in short, on the page. What somebody
concludes from it all stands in `notes.md`, which quotes no numbers, and stands under the first tables as it is. Left
out: anything that is not in a table; every number is computed in `tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from views import SAMPLED, VIEWS, list_passes, measure_kept, write_settings, write_verdict
from wording import make_table, write_ends, write_gain, write_percent, write_score, write_whole

ARTICLE = {"gsm8k": 4.1, "humaneval": 3.7, "bbh": 3.8}
"""HeRL's gain over PPO in the article's table, in points."""
TOKEN_TARGET = 1 / 3
Results = Mapping[str, Any]

HEAD = """# Results of the study

Made by `benchmarks/science/study.py` from the files in `benchmarks/science/results/`, which hold every number below with command, seeds and versions;
not written by hand. `python benchmarks/science/study.py --collect` makes it anew, `--parts NAME` runs a part that is missing.

**Measured before every step took the same number of optimiser steps.** When these runs were made, HeRL's revisions made further minibatches, so that it took up to twice PPO's optimiser steps; a response that was
cut off had two rewards; and the KL term had no bound. All three are mended since, and this study has not been rerun yet. README's table of single runs has: there HeRL's lead over PPO is smaller on gsm8k and humaneval.

Everything is measured on the embedded policies and their synthetic worlds, with planted misconceptions unless said otherwise. Accuracy is the task's
primary metric in per cent, greedy, without any guidance, on held-out problems. Intervals are at 95 %, for other seeds *and* other problems
([comparison.md](comparison.md)); p-values are corrected over the comparisons of a column (Holm). Differences are in points. A learning curve is
the accuracy of the plain prompts' responses while training: sampled at temperature 1, on problems never seen before, so it lies under the greedy one.
Learning rate, responses and passes per step, and entropy bonus were tuned for PPO, on a seed that is not compared; all other arms take PPO's,
unless said otherwise. What passes HeRL would choose is under tune-herl-*.
"""  # noqa: E501


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
    found_so_far = f"{make_table(columns, rows)}\n\n{chr(10).join(sentences)}"
    return (
        f"## HeRL against PPO\n{found_so_far}\n\nRules: the gain is reproduced where the whole interval lies above the"
        " article's gain on the published benchmark, and it takes 3 seeds or"
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
        whole, kept = result["arms"]["herl"], measure_kept(task)
        for arm in task["arms"]:
            name = arm["arm"]
            to_ppo, to_herl = (against.get((name, other)) for other in ("ppo", "herl"))
            if to_ppo is None or (world, name) in rows:
                continue
            changed = write_settings(
                {key: value for key, value in result["arms"][name].items() if whole.get(key) != value}
            )
            row = (world, f"`{name}`", changed, write_percent(arm["repaired"]), write_gain(to_ppo["difference"]))
            keeps = write_whole(kept[name]) if name in kept else "–"
            rows[world, name] = (
                *row,
                *((keeps, write_gain(to_herl["difference"]), write_verdict(to_herl)) if to_herl else ("", "", "")),
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
                    write_verdict(contrast),
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


def _compare_sampled(results: Sequence[Results]) -> str:
    """The gain where responses are sampled, of all tasks in one table."""
    compared = {_name_policies(result): result["passes"] for result in results if result["passes"]}
    rows = [(name, *row) for name, found in compared.items() for row in list_passes(found)]
    if not rows:
        return ""
    sentences = [f"- {judge_sampled(name, found['pass@1']['gain'])}" for name, found in compared.items()]
    return (
        "## Sampled instead of greedy\nThe policies of the first table, and where a variant of HeRL is named beside"
        " the task, that one's; at the temperature of training. pass@1: the share of sampled responses that are right;"
        " pass@k: of problems, that any of k is.\n\n"
        f"{make_table(('task', *SAMPLED), rows)}\n\n{chr(10).join(sentences)}"
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
