"""docs/results.md, from the study's tables: the same tables give the same bytes.

Every word that depends on a number is chosen by a rule that stands here and, in short, on the page. What somebody
concludes from it all stands in `notes.md`, which quotes no numbers. Left out: pictures (`pictures.py`), and most of the
numbers: they stay in the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parts import BUDGET, METHODS, PASSES, TASKS
from pictures import find_gain, list_variants
from wording import make_table, write_gain, write_percent, write_score, write_signed, write_whole

from herl_bench.comparison.forecast import LEVEL, Forecast
from herl_bench.report.drawing import Chart

ARTICLE = {"gsm8k": 4.1, "humaneval": 3.7, "bbh": 3.8}
"""HeRL's gain over PPO in the article's table, in points."""
COMPARED = {"ppo": "PPO", "ppo-as-herl": "PPO, HeRL's settings", "grpo": "GRPO", "rloo": "RLOO", "herl": "HeRL"}
TOKEN_TARGET = 1 / 3
MOST_KEPT = 0.25
"""Of HeRL's gain, by a control that says nothing of the draft: more, and it is not the words that bring it."""
MOST_LOST = 0.02
"""On plain families, where responses are sampled."""
NOTES, FIRST = (Path(__file__).with_name(name) for name in ("notes.md", "first.json"))
"""FIRST: main numbers of the first edition, whose archive is in this file's history alone."""
Result = Mapping[str, Any]
Tables = Mapping[str, Result]

HEAD = """# Results of the study

**Does it help a policy to be told what was wrong with its answers, and to learn from what it then writes?** PPO and HeRL start from the same policy and
generate the same number of tokens; guidance is given while training, never when the answers are evaluated.

Policies are the embedded ones, of under a million parameters each, in synthetic worlds: half of the problems are plain, in the other half a wrong move was
planted, so that the right one is hardly ever sampled. Accuracy is the task's primary metric in per cent, greedy, on 500 held-out problems. Intervals are at
95 %, for other seeds *and* other problems ([comparison.md](comparison.md)). Each method has its own rollouts and passes per step, the best of as many
settings each, on a seed that is not compared. Made by `benchmarks/science/study.py`, not written by hand; every number beside these is in
`benchmarks/science/results/tables.json`, every run's in `raw.tar.xz` there."""  # noqa: E501


def write_page(parts: Sequence[Any], tables: Tables, forecast: Forecast | None, charts: Mapping[str, Chart]) -> str:
    """parts: of the study. tables: by part. charts: by name, which are in `results/` beside the page."""

    def show(name: str) -> str:
        return f"![{charts[name].label}](results/{name}.png)"

    rules = "Rules: the gain is reproduced where the whole interval lies above the article's gain on the published"
    rules += " benchmark, with 3 seeds or more. Tokens to PPO's end: where HeRL's accuracy, mean over seeds, first"
    rules += " reaches and then keeps what PPO ended with, as a share of the budget; the target is a third."
    sections = [
        HEAD,
        f"## HeRL against PPO\n{_compare_methods(tables)}\n\n{_list_settings(tables)}{rules}",
        "\n".join(f"- {sentence}" for task in TASKS for sentence in _judge_task(task, tables)),
        f"## In which worlds\n{show('gains')}\n\n{NAMES}" if "gains" in charts else "",
        f"## Is it the words?\n{show('words')}\n\n{_judge_words(tables)}" if "words" in charts else "",
        f"## Can it be known before training?\n{show('forecast')}\n\n{judge_forecast(forecast)}" if forecast else "",
        "## What fails\n" + ("\n".join(f"- {one}" for one in list_failures(tables)) or "Nothing that was looked for."),
        NOTES.read_text(encoding="utf-8"),
        f"The first study's numbers:\n\n{_show_first(json.loads(FIRST.read_text(encoding='utf-8')))}",
        _tell_rerun(parts, tables),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


NAMES = (
    "`rules`: a problem names a rule, and a dozen moves are possible; `single`: one other move is left beside the wrong"
    " one; `plain`: nothing is planted; `reasoning_gym`: nor is it in the example plugin's problems; `depth-N`: the"
    " starting policy was shown the wrong move in N % of the plain demonstrations, in all others always; `followed`: it"
    " was taught to keep its draft where guidance is another problem's."
)


def count_unfinished(result: Result) -> int:
    """How many of a part's runs may still come."""
    return int(result["planned"] - result["finished"] - len(result.get("diverged", ())))


# ----------------------------------------------------------------------------------------------------- HeRL against PPO
def _compare_methods(tables: Tables) -> str:
    rows = []
    for task in TASKS:
        gain = find_gain(tables, f"rules-{task}", "herl")
        if gain is None:
            continue
        result = tables[f"rules-{task}"]
        peers = tables.get(f"peers-{task}", {}).get("scores", {})
        scores = {**peers, **result["scores"]}
        reached = scores["herl"]["tokens_to_final"]
        rows.append(
            (
                task,
                write_percent(result["before"]["metric"]),
                *(write_score(scores[arm]) if arm in scores else "–" for arm in COMPARED),
                write_gain(gain),
                f"+{ARTICLE[task]}",
                "never" if reached is None else f"{100 * reached / result['budget']:.0f} %",
            )
        )
    names = ("base", *COMPARED.values(), "HeRL − PPO", "the article's", "tokens to PPO's end")
    return make_table(("task", *names), rows)


def _list_settings(tables: Tables) -> str:
    """What the tuning chose."""
    told = []
    for task in TASKS:
        arms = {**tables.get(f"peers-{task}", {}).get("arms", {}), **tables.get(f"rules-{task}", {}).get("arms", {})}
        each = [
            f"{method.upper() if method != 'herl' else 'HeRL'} {arm['rollouts_per_step']} × {arm[PASSES[method]]}"
            for method, arm in ((method, arms[method]) for method in METHODS if method in arms)
        ]
        told += [f"{task}: {', '.join(each)}"] if each else []
    return f"Rollouts per step × passes over them: {'; '.join(told)}. " if told else ""


def _judge_task(task: str, tables: Tables) -> Iterator[str]:
    gain = find_gain(tables, f"rules-{task}", "herl")
    if gain is not None:
        yield judge_gain(task, gain)
        result = tables[f"rules-{task}"]
        yield judge_tokens(task, result["scores"]["herl"]["tokens_to_final"], result["budget"])
    if passes := tables.get(f"sampled-{task}", {}).get("passes"):
        yield judge_sampled(task, passes["pass@1"]["gain"])


def judge_gain(task: str, gain: Result) -> str:
    """By the interval's ends against the article's gain on the task."""
    article = ARTICLE[task]
    told = f"HeRL − PPO on {task} is {write_gain(gain)}, the article's gain +{article}"
    if len(gain["seeds"]) < 3 or gain["low"] is None:
        return f"{told}: **not enough seeds** for a verdict."
    if 100 * gain["low"] > article:
        return f"{told}: **reproduced**, the whole interval lies above it."
    if 100 * gain["high"] < article:
        return f"{told}: **not reproduced**, the whole interval lies below it."
    better = "HeRL is better than PPO, but " if gain["low"] > 0 else ""
    return f"{told}: **open**, {better}the interval holds it."


def judge_tokens(task: str, reached: int | None, budget: int) -> str:
    if reached is None:
        return f"HeRL on {task} does not reach what PPO ended with: the target of a third of the tokens is **missed**."
    word = "met" if reached <= TOKEN_TARGET * budget else "missed"
    return (
        f"HeRL on {task} has what PPO ended with after {reached:,} of {budget:,} tokens: the target of a third is"
        f" **{word}**."
    )


def judge_sampled(task: str, gain: Result) -> str:
    """Whether the greedy gain is also one of sampled responses, by the interval's side of 0."""
    told = f"{write_gain(gain)} in pass@1"
    if gain["low"] is None:
        return f"Sampled responses on {task}: **too few** for a verdict, {told}."
    side = "**better**" if gain["low"] > 0 else "**worse**" if gain["high"] < 0 else "**no better** that can be told"
    return f"Sampled responses of HeRL on {task} are {side} than PPO's: {told}."


# ------------------------------------------------------------------------------------------------------------ the words
def _judge_words(tables: Tables) -> str:
    """What each control keeps of HeRL's gain, and whether deeper guidance brings more."""
    rows, sentences = [], []
    for task in TASKS:
        kept, gains = measure_kept(tables, task), dict(list_variants(tables, task))
        if kept:
            shares = (f"{write_whole(kept[arm])} %" if arm in kept else "–" for arm in ("shuffled", "again"))
            rows.append((task, *shares, _name_order(gains)))
        for arm in ("extra-samples", "no-bonus"):
            if task == "gsm8k" and (against := find_gain(tables, "ablations", arm, "herl")):
                sentences.append(f"- {against['verdict']['sentence']}")
    rule = f"At most {write_whole(MOST_KEPT)} % kept, and it is the words that bring the gain."
    table = make_table(("task", "another problem's keeps", "“Try again.” keeps", "gain by hint level"), rows)
    return "\n\n".join(filter(None, (f"{table}\n\n{rule}" if rows else "", "\n".join(sentences))))


def measure_kept(tables: Tables, task: str) -> dict[str, float]:
    """By control, how much of HeRL's gain over PPO it keeps, with the same seeds; empty where HeRL is not better."""
    whole = find_gain(tables, f"controls-{task}", "herl")
    if whole is None or whole["verdict"]["word"] != "better":
        return {}
    gains = {arm: find_gain(tables, f"controls-{task}", arm) for arm in ("shuffled", "again")}
    return {arm: gain["value"] / whole["value"] for arm, gain in gains.items() if gain}


def _name_order(gains: Mapping[str, Result]) -> str:
    """The hint levels from the smallest gain to the largest."""
    levels = {"criteria": "criteria", "evidence": "evidence", "herl": "reference"}
    if not set(levels) <= set(gains):
        return "–"
    ranked = sorted(levels, key=lambda arm: gains[arm]["value"])
    order = " < ".join(levels[arm] for arm in ranked)
    return f"{order}{'' if ranked == list(levels) else ' (**not in order**)'}"


# --------------------------------------------------------------------------------------------------------- the forecast
def _tell_others(forecast: Forecast) -> str:
    each = ", ".join(f"{name} {write_percent(error)}" for name, error in forecast.others.items())
    return f" The same error with other predictors: {each} points." if each else ""


def judge_forecast(forecast: Forecast) -> str:
    line = forecast.line
    return (
        f"Each dot is a policy, a world and a hint level, {line.cells} in all: what own guidance repairs beyond"
        " sampling anew with as many tokens, as a share of all problems, by `herl-bench probe` before training; and"
        f" HeRL − PPO after it. The line is {write_signed(line.intercept)} points and {line.slope:.2f} times the gap."
        f" Each cell predicted from those of all other worlds: R² {forecast.r2:.2f}, root of the mean squared error"
        f" {write_percent(forecast.error)} points, and {write_whole(forecast.covered)} % within the"
        f" {write_whole(LEVEL)} % interval of what is measured (the band: of the gain itself).{_tell_others(forecast)}"
        " The probe prints it ([probe.md](probe.md)), for warm-started policies on synthetic worlds alone: no other"
        " model was studied."
    )


# ----------------------------------------------------------------------------------------------------------- what fails
def list_failures(tables: Tables) -> Iterator[str]:
    """Everything that was looked for and did not come out, by rules."""
    for name, result in tables.items():
        gain = find_gain(tables, name, "herl")
        if gain and gain["high"] is not None and gain["high"] < 0:
            yield f"HeRL is **worse** than PPO in `{name}`: {write_gain(gain)}."
        if result.get("unequal"):
            yield f"`{name}`: the arms are **not equal**: {'; '.join(result['unequal'])}."
        if result.get("diverged") and not name.startswith("tune-"):
            yield f"`{name}`: **diverged**, stopped by the trainer and left out: {', '.join(result['diverged'])}."
    for task in TASKS:
        gain = find_gain(tables, f"rules-{task}", "herl")
        if gain and gain["low"] is not None and 100 * gain["low"] <= ARTICLE[task]:
            yield f"The gain on {task} is **not shown** to be above the article's: {write_gain(gain)}."
        for arm, share in measure_kept(tables, task).items():
            if share > MOST_KEPT:
                yield f"On {task} the control `{arm}` **keeps {write_whole(share)} %** of the gain."
        plain = tables.get(f"sampled-{task}", {}).get("passes", {}).get("pass@1", {}).get("plain")
        if plain and plain["value"] < -MOST_LOST:
            yield f"Sampled, HeRL is **worse on plain families** of {task} than PPO: {write_gain(plain)} in pass@1."


# ---------------------------------------------------------------------------------------- the first study, and the next
def _show_first(first: Mapping[str, Any]) -> str:
    rows = [
        (
            task,
            *(write_percent(first[task][name]) for name in ("base", "ppo", "grpo", "rloo", "herl")),
            write_gain(first[task]["gain"]),
            f"{write_whole(first[task]['kept_shuffled'])} %",
            write_gain(first[task]["sampled_plain"]),
            f"{first[task]['optimizer_steps']['ppo']}, {first[task]['optimizer_steps']['herl']}",
        )
        for task in TASKS
    ]
    names = ("base", "PPO", "GRPO", "RLOO", "HeRL", "HeRL − PPO", "another problem's keeps", "sampled, plain families")
    table = make_table(("task", *names, "optimiser steps, PPO and HeRL"), rows)
    others = ", ".join(f"{name} {write_gain(gain)}" for name, gain in first["other"].items())
    return f"{table}\n\nHeRL − PPO in its other worlds: {others}."


def _tell_rerun(parts: Sequence[Any], tables: Tables) -> str:
    versions = next((result["versions"] for result in tables.values() if "versions" in result), {})
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    budgets = ", ".join(f"{budget:,} on {task}" for task, budget in BUDGET.items())
    lines = [
        "## How to rerun",
        "`python benchmarks/science/study.py` runs whatever is missing and writes this page; `--list` says what parts"
        " there are and what each costs, `--parts NAME` runs one, `--collect` none. Generated tokens of a run:"
        f" {budgets}. Made with {made}.",
    ]
    missing = [part.name for part in parts if part.name not in tables or count_unfinished(tables[part.name])]
    if missing:
        lines.append(f"Not, or not wholly, run yet: {', '.join(missing)}.")
    return "\n\n".join(lines)
