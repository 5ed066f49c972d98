"""The same responses through lm-eval's own tasks and through ours, item by item, on the published files: equal numbers
under lm-eval's names."""

import importlib.util
import logging
import os
import random
import sys
from pathlib import Path

import pytest

from herl_bench.plugins import load_host

if "HERL_BENCH_DATA" not in os.environ:
    pytest.skip("needs the published files", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's own
DATA = Path(os.environ["HERL_BENCH_DATA"])
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "parity.py"


@pytest.fixture(scope="module")
def parity():
    spec = importlib.util.spec_from_file_location("parity_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def messy_gsm8k(example, rng):
    number = example.info["answer"]
    forms = (
        "#### {}",
        "#### ${}",
        "The answer is {}.",
        "#### {}.",
        "so {} dollars",
        "#### {}\n#### 7",
        "= {},000",
        "",
        "#### -{}",
        "####{}",
        "#### {} apples",
        "#### {}.00",
        "#### −{}",
        "#### {}!",
        "$ {}",
        "$,",
        "#### {},",
        "####  {}",
        "a\n#### {}\nb 3.",
    )
    return rng.choice((example.target, *(form.format(number) for form in forms)))


WORDS = (
    "seven",
    "twenty-one",
    "three hundred and four",
    "fourteen",
    "eight",
    "one hundred two",
    "eighteen apples",
    "sixty nine",
    "no number",
)


def messy_bbh(example, rng):
    text = example.info["input"]
    told = rng.choice(
        (
            example.target,
            example.target,
            example.target.lower(),
            example.target.strip("()"),
            rng.choice(text.split()),
            *WORDS[:2],
        )
    )
    forms = (
        "So the answer is {}.",
        "So the answer is {}",
        "The answer is {}.",
        "the answer is {}.\nthe answer is no.",
        "{}",
        "",
        "{}.",
        "(A) or {}",
        "the answer is  {}.",
        "I think the answer is {}, surely.",
        "the answer is **{}**.",
        "The final answer: {}.\n",
        "Answer: {}",
        '"{}"',
        "yes and no: {}",
        "True. Not {}",
        "it is not plausible, {}",
        "The answer: {}!\nno",
        "{}\n\nso valid",
        "x tells the truth. {}",
        " \n",
        "the answer is .",
        "[ ] ( ) < > {}",
        "{} \\ ,",
        rng.choice(WORDS),
    )
    return rng.choice(forms).replace("{}", told)


def given(parity, name, count, family, messy):
    rng = random.Random(family or name)
    return [parity.Given(e, doc, messy(e, rng)) for e, doc in parity.read_items(name, DATA, count, family)]


def test_gsm8k(parity):
    responses = given(parity, "gsm8k", 300, "", messy_gsm8k)
    ours = parity.judge_ours(load_host().get("task", "gsm8k"), responses)
    theirs = parity.score_theirs(["gsm8k"], responses)
    for name in ("strict-match", "flexible-extract"):
        pairs = [
            (t[f"gsm8k exact_match,{name}"], o[f"exact_match,{name}"], r.response)
            for t, o, r in zip(theirs, ours, responses, strict=True)
        ]
        assert [p for p in pairs if p[0] != p[1]] == []
        assert 0.1 < sum(p[0] for p in pairs) / len(pairs) < 0.9
    assert all("robust_match,numeric" in o for o in ours)


# Every rule of every filter: truth values, yes or no, brackets, valid or not, letters (and a target that is none),
# numbers, mappings, word order.
FAMILIES = (
    "boolean_expressions",
    "causal_judgement",
    "dyck_languages",
    "formal_fallacies",
    "movie_recommendation",
    "object_counting",
    "sports_understanding",
    "web_of_lies",
    "word_sorting",
)
KEYS = {
    "bbh_cot_fewshot exact_match,get-answer": ((), "exact_match,get-answer"),
    "bbh_cot_zeroshot exact_match,flexible-extract": ((), "exact_match,flexible-extract"),
    "bbh_cot_zeroshot exact_match,strict-match": ((), "exact_match,strict-match"),
    "bbh_zeroshot exact_match,flexible-extract": (("bbh/zeroshot_flexible",), "exact_match,flexible-extract"),
    "bbh_zeroshot exact_match,strict-match": (("bbh/zeroshot_strict",), "exact_match,strict-match"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_bbh(parity, family):
    responses = [g for _ in range(3) for g in given(parity, "bbh", 60, family, messy_bbh)]
    rng = random.Random(family)
    responses = [parity.Given(g.example, g.doc, messy_bbh(g.example, rng)) for g in responses]
    theirs, task = (
        parity.score_theirs(["bbh_cot_fewshot", "bbh_cot_zeroshot", "bbh_zeroshot"], responses),
        load_host().get("task", "bbh"),
    )
    right = 0
    for key, (metrics, own) in KEYS.items():
        ours = parity.judge_ours(task, responses, metrics)
        assert [
            (r.response, t[key], o[own]) for t, o, r in zip(theirs, ours, responses, strict=True) if t[key] != o[own]
        ] == [], key
        right += sum(t[key] for t in theirs)
    assert 0 < right < len(KEYS) * len(responses)
    assert all("robust_match,none" in row for row in parity.judge_ours(task, responses[:3]))


@pytest.mark.long
def test_the_page_says_what_the_script_finds(parity):
    """Among it, that our `pass@1,create_test` is lm-eval's on answers with fences, with prose and without a
    signature."""
    logging.disable(logging.WARNING)
    try:
        assert parity.PAGE.read_text(encoding="utf-8") == parity.write_page(DATA)
    finally:
        logging.disable(logging.NOTSET)
