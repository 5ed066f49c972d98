"""Templates, patterns and whatever else a stranger can make endless: each ends, in one line."""

import time

import pytest

from herl_bench.bounded import Failed, TooMuch, run_bounded
from herl_bench.errors import UsageError
from herl_bench.patterns import PATIENCE, compile_pattern, search_pattern
from herl_bench.templates import compile_template, render_template
from herl_bench.testing import tiny_checkpoint

ENDLESS = {
    "two loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a macro that calls itself twice": (
        "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}"
    ),
    "a macro that calls itself": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}",
    "a long product": "{{ 'a' * 999999999 }}",
    "a long product of a list": "{{ 999999999 * [0] }}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a wide filter": "{{ 'a'|center(999999999) }}",
    "a wide method": "{{ 'a'.ljust(999999999) }}",
    "long output": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "a long range": "{{ range(999999999)|list }}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_a_template_ends(source):
    began = time.thread_time()
    with pytest.raises(UsageError, match=r"^t[:,]"):
        render_template(source, "t")
    assert time.thread_time() - began < 30


@pytest.mark.parametrize(
    "source",
    [
        "{{ x.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{% include '/etc/passwd' %}",
        "{{ nope }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_reaches_nothing_else(source):
    with pytest.raises(UsageError, match=r"^t[:,]"):
        render_template(source, "t", x=[])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a\n{{ x", "t, line 2: "),
        ("\n\n{% endfor %}", "t, line 3: "),
        ("{{ x|nope }}", "t, line 1: No filter named 'nope'"),
        ("{% for a in x recursive %}{% endfor %}", "t, line 1: recursive loops"),
        ("{{" + "(" * 900 + "1" + ")" * 900 + "}}", "t: nested too deep"),
        ("{{ " + "9" * 5000 + " }}", "t: ValueError: Exceeds the limit"),
    ],
)
def test_a_template_is_checked_before_it_is_used(source, said):
    with pytest.raises(UsageError) as told:
        compile_template(source, "t")
    assert str(told.value).startswith(said)


def test_an_honest_template_is_rendered():
    source = (
        "{% for u in unmet %}{{ loop.index }}/{{ loop.length }} {{ u.text|upper }}{% if not loop.last %}; {% endif %}{%"
        " endfor %}"
    )
    assert render_template(source, "t", unmet=[{"text": "a"}, {"text": "b"}]) == "1/2 A; 2/2 B"
    gathered = "{% set said = [] %}{% for u in unmet %}{% set _ = said.append(u) %}{% endfor %}{{ said|join('; ') }}"
    assert (
        render_template(gathered, "t", unmet=["a", "b"]) == "a; b"
    )  # as templates do that were written for plain Jinja


# ------------------------------------------------------------------------------------------------------- chat templates
def chat(tmp_path, template):
    from herl_bench.policy.load import load_policy

    policy = load_policy(tiny_checkpoint(tmp_path / "model", chat_template=True))
    policy.tokenizer.chat_template = template
    return policy


@pytest.mark.parametrize(
    "template",
    [
        ENDLESS["two loops"],
        "{{ 'a' * 9999999999 }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{% if '7' in messages[-1]['content'] %}" + ENDLESS["two loops"] + "{% endif %}",
        "{{ messages[0].nope.nope }}",
        "{{ raise_exception('no') }}",
        "{% endfor %}",
    ],
)
def test_a_models_chat_template_is_bounded(tmp_path, monkeypatch, template):
    monkeypatch.setattr("herl_bench.policy.language_model.CHAT_SECONDS", 1.0)
    with pytest.raises(UsageError, match="chat template"):
        chat(tmp_path, template).encode(["3 + 4 = 7"], "")


def test_what_is_bounded_comes_back_as_it_is():
    assert run_bounded(lambda: ["\ud800", "数"], seconds=5, megabytes=200) == ["\ud800", "数"]
    with pytest.raises(Failed, match="ZeroDivisionError"):
        run_bounded(lambda: 1 / 0, seconds=5, megabytes=200)
    for hog in (lambda: "a" * (1 << 33), lambda: list(range(1 << 30)), lambda: sum(1 for _ in iter(int, 1))):
        with pytest.raises(TooMuch, match="1 s of processor time or 200 MiB of memory"):
            run_bounded(hog, seconds=1, megabytes=200)
    with pytest.raises(TooMuch):
        run_bounded(lambda: "a" * 10_000, seconds=5, megabytes=200, most=1_000)


# ------------------------------------------------------------------------------------------------------------- patterns
CATASTROPHES = {
    r"(a|aa)+$": "a" * 100_000 + "!",
    r"\s*\s*\s*\s*$": " " * 100_000 + "x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 100_000,
    r"(x+x+)+y": "x" * 100_000,
    r"(a*a*)*$": "a" * 5_000 + "!",
}


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_pattern_that_never_ends_is_undecided(pattern, monkeypatch):
    monkeypatch.setattr("herl_bench.patterns.SECONDS", 0.1)
    began = time.process_time()
    assert [search_pattern(CATASTROPHES[pattern], pattern) for _ in range(PATIENCE + 200)] == [None] * (PATIENCE + 200)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "*",
        "a{2,1}",
        r"\1",
        "(?<n>a)",
        "[[:alpha:]]",
        "(" * 3_000,
        "a{99999999999}",
        "(?:" * 6 + "a" + "{1000})" * 6,
        "x" * 6_000,
        r"\p{L}",
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(UsageError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a{e}", "a{e}", True),
        ("a{e}", "b", False),
        (r"^x$", "y\nx\ny", True),
        (r"\d{4}-\d{2}", "2024-05", True),
        (r"(?i)ABC", "xabc", True),
        ("", "", True),
    ],
)
def test_a_pattern_is_one_of_re(pattern, text, found):
    assert search_pattern(text, pattern) is found
