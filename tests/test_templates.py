"""A template that a plugin brings ends, in one line."""

import time

import pytest

from herl_bench.errors import UsageError
from herl_bench.templates import compile_template, render_template

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
