"""A comparison with numbers as `herl-bench compare` could give them, and words as nobody should write them."""

import math
import random

from herl_bench.comparison.schema import (
    Arm,
    ArmScore,
    Audit,
    BandPoint,
    Calibration,
    Comparison,
    Contrast,
    CriterionChange,
    Evaluated,
    Flip,
    Interval,
    Item,
    Point,
    Repair,
    RunRecord,
    SeedTest,
    Spent,
    TaskItems,
    Verdict,
)  # fmt: skip
from herl_bench.evaluation.scores import Score

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "--><svg/onload=window.hacked=3><!--<script>",
    "line\u2028separator\u2029paragraph",
    "evil \u202egnp.exe\u202c end",
    "null \x00 byte, bell \x07, escape \x1b[31mred\x1b[0m",
    "lone surrogate \udc80 and {{ 7 * 7 }} {% raw %}",
    '" onmouseover="window.hacked = 5" autofocus onfocus=\'window.hacked = 6\' x="',
    (
        "[a](javascript:window.hacked=7) <a href=javascript:window.hacked=8>b</a> <iframe srcdoc='<script>top.hacked ="
        " 9</script>'>"
    ),
    "</script><script>window.hacked = 10</script>\u2066hidden\u2069" + "x" * 1_000_000,
    "\"quoted\" 'single' & ampersand &lt; ]]> `${window.hacked = 4}`",
]
CRITERIA = ("final_answer", "arithmetic", "quantities_from_question", "concise")


def a_comparison(
    items: int = 60, seeds: int = 3, flips: int = 40, texts=(), arms=("ppo", "herl"), task: str = "gsm8k"
) -> Comparison:
    """Numbers as a comparison could give them; `texts` take turns as prompts, answers and guidance."""
    chance = random.Random(0)
    say = iter(
        texts[i % len(texts)] if texts else f"Step {i}: {i % 9} + {i % 7} = {i % 9 + i % 7}.\n#### {i % 97}"
        for i in range(10**9)
    )

    def score(value):
        return Score(value, 0.03, items)

    def between(value, reach=0.05):
        return Interval(value, value - reach, value + reach, "a test's")

    def rise(arm, top, wobble=0.01):
        slope = 0.3 + 0.5 * arms.index(arm) / len(arms)
        points = [
            (t, 0.35 + (top - 0.35) * slope * (1 - math.exp(-t / 30_000)) + chance.uniform(-wobble, wobble))
            for t in range(2_000, 100_001, 2_000)
        ]
        return tuple(BandPoint(t, m, m - 0.03, m + 0.04, seeds) for t, m in points)

    def judged(share):
        outcomes = tuple(float(chance.random() < share) for _ in range(items))
        rates = {name: score(chance.uniform(0.3, 0.95)) for name in CRITERIA}
        metrics = {"exact_match,flexible-extract": score(share)}
        return Evaluated(
            metrics, score(share), rates, {}, {}, 0.01, 0.02, 0.0, 0, {"timeout": 2}, 0.1, outcomes, ((4, 1, 1, 0),) * 4
        )

    spent = Spent(100_023, 1_204, 1_204, 640, 513.0, 3.2e13)
    repairs = tuple(Repair(name, 120, 60, 80, 5) for name in CRITERIA)

    def record(arm, seed):
        hindsight = arm != "ppo"
        audits = tuple(
            Audit(
                s,
                f"gsm8k/train/{s}",
                next(say),
                next(say),
                next(say),
                next(say),
                0.25,
                chance.choice([0.25, 1.0, 0.0]),
                ("arithmetic",),
                (),
            )
            for s in range(1, 31)
        )
        bins = tuple((0.1 * i, 0.08 * i + 0.02, 40 - 3 * i) for i in range(-1, 8))
        critic = Calibration(True, 400, 0.1, 0.03, 0.05, 0.04, 0.035, 0.3, 0.6, 0.8, bins)
        return RunRecord(
            task,
            arm,
            arm,
            seed,
            f"runs/{task}-{arm}-s{seed}",
            100_000,
            spent,
            judged(0.38),
            judged(0.45),
            (Point(1, 2_000, 0.4, 0.3),),
            0.4,
            30_000,
            critic if hindsight else None,
            repairs if hindsight else (),
            audits if hindsight else (),
            {"python": "3.11", "note": next(say)},
        )

    def arm_score(arm):
        top = 0.45 + 0.35 * arms.index(arm) / len(arms)
        strips = {name: rise(arm, 0.5 + 0.12 * k) for k, name in enumerate(CRITERIA)}
        guided = tuple((p.tokens, p.mean, p.mean + 0.25) for p in rise(arm, top)) if arm != "ppo" else ()
        return ArmScore(
            task=task,
            arm=arm,
            seeds=tuple(range(seeds)),
            before=score(0.38),
            score=between(top),
            gain=between(top - 0.38),
            iqm=between(top),
            curve_area=between(0.4),
            target=0.41,
            tokens_to_target=tuple([30_000, None, 52_000][s % 3] for s in range(seeds)),
            spent=spent,
            curve=rise(arm, top),
            criteria_curves=strips,
            plain_vs_guided=guided,
            co_failure=((9, 3, 2, 0),) * 4,
            responses=items * seeds,
            repairs=repairs if arm != "ppo" else (),
            errors=0,
            endings={},
            gap=0.1,
            held_out=rise(arm, top)[::6],
            tokens_to_final={"ppo": 98_000, "herl": 38_000}.get(arm),
        )

    def contrast(arm):
        turned = tuple(
            Flip(
                i % seeds,
                i % items,
                i % 3 != 0,
                next(say),
                next(say),
                ("arithmetic",) if i % 3 else (),
                () if i % 3 else ("arithmetic", "concise"),
            )
            for i in range(flips)
        )
        changes = tuple(
            CriterionChange(name, 0.5, 0.6, between(0.1), 0.001, 0.004, word)
            for name, word in zip(CRITERIA, ("fixed", "regressed", "unclear", "unclear"), strict=True)
        )
        tests = tuple(SeedTest(s, items, 14, 5, between(0.09), 0.064) for s in range(seeds))
        sentence = (
            f"{arm} is better than {arms[0]} on {task}: exact_match 0.495 against 0.410, a gain of 0.085 (95 % interval"
            " 0.021 to 0.149)."
        )
        return Contrast(
            task,
            arm,
            arms[0],
            tuple(range(seeds)),
            items,
            between(0.085),
            0.004,
            0.004,
            between(0.085),
            between(0.9, 0.1),
            0.3,
            0.07,
            Verdict("better", sentence),
            tests,
            turned,
            changes,
        )

    everything = tuple(
        Item(
            f"{task}/synthetic/{i}",
            next(say) if texts else f"Tom has {i} apples and buys {i % 7} more. How many apples has he?",
            next(say),
            f"family {i % 5}",
        )
        for i in range(items)
    )
    contrasts = tuple(contrast(arm) for arm in arms[1:])
    fields = {
        "baseline": arms[0],
        "arms": tuple(Arm(arm, arm, {"learning_rate": 3e-4}) for arm in arms),
        "tasks": (TaskItems(task, "exact_match,flexible-extract", True, "synthetic", everything, CRITERIA),),
        "seeds": tuple(range(seeds)),
        "budget": 100_000,
        "runs": tuple(record(arm, seed) for arm in arms for seed in range(seeds)),
        "failed": (),
        "arm_scores": tuple(arm_score(arm) for arm in arms),
        "contrasts": contrasts,
        "overall": (),
        "unequal": (),
        "notes": (),
        "verdicts": tuple(c.verdict.sentence for c in contrasts),
        "command": "herl-bench compare --task gsm8k --methods ppo,herl --seeds 3",
        "version": "0.1.0",
    }
    return Comparison(**fields)
