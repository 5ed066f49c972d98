"""The report: what stands on the page, that nothing a model writes can act on it, and how it behaves in a real
browser."""

import base64
import dataclasses
import gzip
import hashlib
import html
import json
import math
import random
import re

import pytest
from helpers.browser import needs_chromium, visit

from herl_bench.cli.report import try_report
from herl_bench.compare.schema import (
    Arm,
    ArmScore,
    Audit,
    BandPoint,
    Calibration,
    Comparison,
    Contrast,
    CriterionChange,
    Evaluated,
    FailedCell,
    Flip,
    Interval,
    Item,
    Overall,
    Point,
    Repair,
    RunRecord,
    SeedTest,
    Spent,
    TaskItems,
    Verdict,
    to_json,
)  # fmt: skip
from herl_bench.evaluate.scores import Score
from herl_bench.report.drawing import PALETTE
from herl_bench.report.report import of_comparison, to_html, write_plots

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
        critic = Calibration(True, 400, 0.1, 0.03, 0.05, 0.04, 0.3, 0.6, 0.8, bins)
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
            task,
            arm,
            tuple(range(seeds)),
            score(0.38),
            between(top),
            between(top - 0.38),
            between(top),
            between(0.4),
            0.41,
            tuple([30_000, None, 52_000][s % 3] for s in range(seeds)),
            spent,
            rise(arm, top),
            strips,
            guided,
            ((9, 3, 2, 0),) * 4,
            items * seeds,
            repairs if arm != "ppo" else (),
            0,
            {},
            0.1,
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


def unpacked(page: str):
    (block,) = re.findall(r'<script type="application/json" id="texts">(.*?)</script>', page, re.S)
    return json.loads(gzip.decompress(base64.b64decode(json.loads(block))))


# ------------------------------------------------------------------------------------------------------------- the file
def test_the_page_says_what_the_comparison_says():
    comparison = a_comparison()
    page = to_html(of_comparison(comparison))
    found, _, numbers = comparison.verdicts[0].partition(": ")
    assert f'<h1 class="verdict">{found}.</h1>' in page
    assert f'<p class="numbers">{numbers}</p>' in page
    assert page.index("0.085 (+0.035 to +0.135)") < page.index("<main")  # the chart that the verdict rests on
    texts = unpacked(page)
    assert [p["left"] for p in texts["pairs"]] == [f.baseline_response for f in comparison.contrasts[0].flips]
    assert len(texts["audits"]) == sum(len(run.audits) for run in comparison.runs)
    assert [i["id"] for i in texts["items"]["gsm8k"]] == [i.id for i in comparison.tasks[0].items]


def test_two_tasks_stand_side_by_side_and_together():
    one, two = a_comparison(), a_comparison(task="bbh")
    together = tuple(
        Overall(arm.name, Interval(0.4, 0.3, 0.5, "a test's"), Interval(0.75, 0.6, 0.9, "a test's")) for arm in one.arms
    )
    joined = {
        name: getattr(one, name) + getattr(two, name)
        for name in ("tasks", "runs", "arm_scores", "contrasts", "verdicts")
    }
    page = to_html(of_comparison(dataclasses.replace(one, **joined, overall=together)))
    for task in ("gsm8k", "bbh"):
        assert f"{task}: herl +0.085 (+0.035 to +0.135)" in page  # the chart above the verdicts has both
        assert f'<p class="verdict">herl is better than ppo on {task}.</p>' in page
        assert f"<h3>{task}</h3>" in page
    assert "The 2 tasks together" in page
    assert "75.0 %" in page
    assert "The 2 tasks together" not in to_html(of_comparison(one))


def test_what_makes_a_comparison_doubtful_stands_at_its_top():
    comparison = dataclasses.replace(
        a_comparison(),
        unequal=("gsm8k: token budget: ppo has 1, herl has 2",),
        failed=(FailedCell("gsm8k", "herl", 2, "runs/x", "out <of> memory"),),
    )
    head = to_html(of_comparison(comparison)).partition("</header>")[0]
    assert "ppo has 1, herl has 2" in head
    assert "seed 2: out &lt;of&gt; memory" in head


def test_hostile_words_stay_words_in_the_file():
    """Names and reasons go into the page's own text; everything else is packed."""
    for words in HOSTILE:
        comparison = dataclasses.replace(
            a_comparison(texts=HOSTILE), failed=(FailedCell("gsm8k", words, 2, "runs/x", words),), notes=(words,)
        )
        page = to_html(of_comparison(comparison))
        page.encode()
        assert page.count("<script") == 2
        assert "<img" not in page
        assert len(page) < 6_000_000
        assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u2029\u202a-\u202e\u2066-\u2069]", page)


def test_ten_thousand_long_samples_fit_in_six_megabytes():
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(5000)]
    long = [" ".join(chance.choices(words, k=120)) for _ in range(10_000)]
    page = to_html(of_comparison(a_comparison(items=2_000, flips=10_000, texts=long)))
    assert len(page.encode()) < 6_000_000
    assert len(unpacked(page)["pairs"]) == 10_000
    assert re.search(r"Texts longer than \d+ characters are cut in the middle", page)


def test_the_policy_allows_this_script_and_style_alone():
    page = to_html(of_comparison(a_comparison()))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "style=" not in page.partition("</style>")[2].partition("<script")[0]
    assert "innerHTML" not in page


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_series_can_be_read_on_their_paper(theme):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    colors = PALETTE[theme]
    for role in set(colors) - {"paper", "raised", "grid", "shade"}:
        for paper in ("paper", "raised"):
            light, dark = sorted((luminance(colors[role]), luminance(colors[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, role, paper)


def test_a_run_without_revisions_that_could_be_judged_has_a_page_too():
    comparison = a_comparison()
    bare = tuple(
        dataclasses.replace(a, curve=(), criteria_curves={}, plain_vs_guided=(), repairs=())
        for a in comparison.arm_scores
    )
    runs = tuple(
        dataclasses.replace(
            r, audits=(), repairs=(), calibration=r.calibration and dataclasses.replace(r.calibration, reliability=())
        )
        for r in comparison.runs
    )
    page = to_html(of_comparison(dataclasses.replace(comparison, arm_scores=bare, runs=runs)))
    assert 'id="bonus"' in page
    assert 'id="guidance"' not in page


def test_evaluations_while_training_are_a_curve_and_say_how_soon():
    comparison = a_comparison(arms=("ppo", "herl", "grpo"))
    page = to_html(of_comparison(comparison))
    assert "What ppo ended with is reached, and kept, by herl after 38,000 tokens, by grpo never.</p>" in page
    bare = tuple(dataclasses.replace(a, held_out=()) for a in comparison.arm_scores)
    assert "Evaluated while training" not in to_html(of_comparison(dataclasses.replace(comparison, arm_scores=bare)))


def test_main_plots_as_images(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plots`")
    paths = write_plots(of_comparison(a_comparison()), tmp_path)
    own = [f"gsm8k-{n}.png" for n in ("scores", "curves", "held-out", "calibration", "criteria-ppo", "criteria-herl")]
    assert [p.name for p in paths] == ["differences.png", *own]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    (tmp_path / "compare.json").write_text(to_json(a_comparison()))
    try_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == to_html(of_comparison(a_comparison()))
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    try_report(tmp_path)
    assert f"warning: no report of {tmp_path}: SaveError" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- in a browser
@needs_chromium
def test_in_a_browser_it_asks_nothing_of_a_network_and_its_lists_work(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(to_html(of_comparison(a_comparison(flips=60))), encoding="utf-8")

    async def steps(page):
        async def count():
            return await page.js("document.querySelector('#pairs .count').textContent")

        async def choose(name, value):
            script = (
                "const c = document.querySelector('#pairs [name={}]'); c.value = {}; c.dispatchEvent(new Event('input',"
                " {{bubbles: true}}))"
            )
            await page.js("{" + script.format(name, json.dumps(value)) + "}")

        assert await count() == "60 of 60 items"
        assert await page.js("document.querySelectorAll('#pairs .list > li').length") == 25
        await choose("state", "broken")
        assert await count() == "20 of 60 items"
        await choose("seed", "1")
        assert await count() == "0 of 60 items"  # by construction the broken items are seed 0's
        await choose("seed", "0")
        assert await count() == "20 of 60 items"
        await choose("state", "")
        await choose("seed", "")
        await choose("search", "synthetic/59")
        assert await count() == "1 of 60 items"
        await page.js("document.querySelector('#pairs summary').click()")
        body = "document.querySelector('#pairs .body')"
        assert "How many apples" in await page.js(
            f"new Promise(done => requestAnimationFrame(() => done({body}.textContent)))"
        )
        assert await page.js("document.querySelectorAll('#audits .list > li').length") == 25
        for width in (360, 1280):
            for dark in (False, True):
                await page.look(tmp_path / f"{width}-{dark}.png", width, dark=dark)
                assert await page.js("document.documentElement.scrollWidth <= innerWidth"), (
                    f"scrolls sideways at {width}"
                )
                chart = (
                    "document.querySelector('header"
                    f" .chart.{'narrow' if width < 600 else 'wide'}').getBoundingClientRect()"
                )
                assert 0 < await page.js(f"{chart}.bottom + scrollY") < 640, (
                    "the first screen has the verdict and its chart"
                )
                shown = "getComputedStyle(document.body).backgroundColor"
                assert await page.js(shown) == ("rgb(21, 23, 27)" if dark else "rgb(253, 252, 250)")

    page = visit(file, tmp_path, steps)
    assert page.problems == []
    assert page.requests == [file.as_uri()]


@needs_chromium
def test_in_a_browser_nothing_that_a_model_wrote_runs(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(to_html(of_comparison(a_comparison(items=8, flips=16, texts=HOSTILE))), encoding="utf-8")

    async def steps(page):
        await page.js("document.querySelectorAll('summary').forEach(s => s.click())")
        text = await page.js(
            "new Promise(done => requestAnimationFrame(() => done(document.querySelector('#pairs').textContent)))"
        )
        for words in (
            "</script><script>window.hacked = 1</script>",
            "<img src=x onerror='window.hacked = 2'>",
            "␀",
            "␛[31m",
            "[U+202E]",
            "[U+DC80]",
            "</script><script>window.hacked = 10</script>[U+2066]hidden[U+2069]",
        ):
            assert words in text, words
        await page.js(
            "document.querySelectorAll('*').forEach(e => { e.dispatchEvent(new Event('mouseover')); e.dispatchEvent(new"
            " Event('focus')) })"
        )
        buttons = await page.js("[...document.querySelectorAll('button.more')].map(b => b.textContent)")
        assert set(buttons) == {"Show all 1,000,052 characters"}
        assert await page.js("window.hacked === undefined")
        assert await page.js("document.documentElement.scrollWidth <= innerWidth"), (
            "a long line scrolls the page sideways"
        )
        assert await page.js("document.querySelectorAll('img, iframe, main script').length") == 0

    page = visit(file, tmp_path, steps)
    assert page.problems == []
    assert page.requests == [file.as_uri()]
