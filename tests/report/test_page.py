"""A page: nothing a model writes can act on it, and how it behaves in a real browser."""

import base64
import dataclasses
import hashlib
import html
import json
import random
import re

import pytest
from helpers.browser import needs_chromium, visit
from helpers.invented_comparison import HOSTILE, a_comparison
from helpers.pages import unpack

from herl_bench.comparison.schema import FailedCell
from herl_bench.report.contents import describe_comparison
from herl_bench.report.report import to_html


def test_hostile_words_stay_words_in_the_file():
    """Names and reasons go into the page's own text; everything else is packed."""
    for words in HOSTILE:
        comparison = dataclasses.replace(
            a_comparison(texts=HOSTILE), failed=(FailedCell("gsm8k", words, 2, "runs/x", words),), notes=(words,)
        )
        page = to_html(describe_comparison(comparison))
        page.encode()
        assert page.count("<script") == 2
        assert "<img" not in page
        assert len(page) < 6_000_000
        assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u2029\u202a-\u202e\u2066-\u2069]", page)


@pytest.mark.long
def test_ten_thousand_long_samples_fit_in_six_megabytes():
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(5000)]
    long = [" ".join(chance.choices(words, k=120)) for _ in range(10_000)]
    page = to_html(describe_comparison(a_comparison(items=2_000, flips=10_000, texts=long)))
    assert len(page.encode()) < 6_000_000
    assert len(unpack(page)["pairs"]) == 10_000
    assert re.search(r"Texts longer than \d+ characters are cut in the middle", page)


def test_the_policy_allows_this_script_and_style_alone():
    page = to_html(describe_comparison(a_comparison()))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "style=" not in page.partition("</style>")[2].partition("<script")[0]
    assert "innerHTML" not in page


@needs_chromium
def test_in_a_browser_it_asks_nothing_of_a_network_and_its_lists_work(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(to_html(describe_comparison(a_comparison(flips=60))), encoding="utf-8")

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
    file.write_text(to_html(describe_comparison(a_comparison(items=8, flips=16, texts=HOSTILE))), encoding="utf-8")

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
