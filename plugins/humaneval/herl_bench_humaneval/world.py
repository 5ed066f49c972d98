"""The synthetic world: small functions in HumanEval's own format, with something planted in about half of them.

An example has what a row of HumanEval has: a prompt (signature with type hints, a docstring with `>>>` examples), a
canonical body, and a hidden `check(candidate)` with five to eight assertions. A family draws names, wording, constants
*and* what the function must do (at least or at most, even or odd, first or last), so the docstring has to be read.

There are three kinds of families: `sound.py`, in which nothing is planted; `rules.py`, in which the docstring names a
convention that only guidance explains; `single.py`, in which plain demonstrations make one plausible wrong move, and
whoever leaves it is right. One policy is warm-started on all three.

The expected values are computed by running the canonical body, which is our own text, in this process; the hidden tests
are drawn so that they tell the canonical body from the planted one, from every other move of a rule, and from every
small mutation of it that a pool of inputs can tell apart.

Left out: functions of more than one loop, classes, floats other than averages, anything that needs an import beyond
`typing`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

from herl_bench import Demonstration, Example, World
from herl_bench.types import Split
from herl_bench_humaneval import rules, single, sound
from herl_bench_humaneval.recipes import Draw, Family, Recipe

EVAL_SHARE = 5
"""One specification in five belongs to the eval split."""
NOISE = 0.08
"""The share of plain demonstrations of sound families that carry a random slip."""
TOLD_OTHERWISE = 0.35
"""The share of guided demonstrations of sound families whose reference, and so guidance and response, carry a slip."""
KINDS: tuple[tuple[Mapping[str, Family], float, float], ...] = (
    (rules.FAMILIES, 0.4, 0.7),
    (sound.FAMILIES, 0.35, 0.5),
    (single.FAMILIES, 0.25, 0.5),
)
"""Families, their share of the demonstrations, and the share of theirs that is guided."""
QUIET: tuple[Any, ...] = ([],)
"""The arguments on which all moves agree."""
QUIET_EXAMPLE = 0.7
"""The share of rules' docstrings that show an example."""


# ------------------------------------------------------------------------------------------------------------ mutations
_SWAPS: tuple[tuple[str, str], ...] = (
    (r" >= ", " > "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" < ", " <= "),
    (r" > ", " < "),
    (r" < ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r"\bmin\b", "max"),
    (r"\bmax\b", "min"),
    (r"\ball\b", "any"),
    (r" not in ", " in "),
    (r"(?<!not) in (?=w\b|\")", " not in "),
    (r"\bnot (?=w)", ""),
    (r"startswith", "endswith"),
    (r"endswith", "startswith"),
    (r", reverse=True", ""),
    (r", key=len", ""),
    (r" \+ 1", ""),
    (r" / ", " // "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" \* ", " + "),
    (r" \*\* ", " * "),
    (r"\+= x$", "+= 1"),
    (r"\*= ", "+= "),
    (r"\[::-1\]", ""),
    (r"\[:n\]", "[n:]"),
    (r"\[n:\]", "[:n]"),
    (r"\[-n:\]", "[:n]"),
    (r"\[:-n\]", "[n:]"),
    (r"\babs\b", ""),
    (r"\.lower\(\)", ""),
    (r"\.upper\(\)", ".lower()"),
    (r"sum\(1 ", "sum(x "),
    (r"sum\(x ", "sum(1 "),
    (r"len\((?=set)", "sum("),
    (r"% 2 == 0", "% 2 == 1"),
    (r"% 2 == 1", "% 2 == 0"),
    (r"isdigit", "isalpha"),
    (r"isalpha", "isdigit"),
)


def list_mutations(body: str) -> list[str]:
    """Every text that differs from `body` by one plausible slip: an operator, a call, a bound, a constant one off."""
    found = [
        re.sub(pattern, new, body, count=1, flags=re.MULTILINE)
        for pattern, new in _SWAPS
        if re.search(pattern, body, re.MULTILINE)
    ]
    found += [
        body[: m.start()] + str(int(m[0]) + step) + body[m.end() :]
        for m in re.finditer(r"(?<![\w\"-])[2-9]\b", body)
        for step in (-1, 1)
    ]
    found += [body[: m.start()] + f'"{c}"' + body[m.end() :] for m in re.finditer(r'"."', body) for c in "_-ax"]
    return [text for text in dict.fromkeys(found) if text != body]


def _break_syntax(rng: Random, body: str) -> str:
    """`body` with one bracket or colon lost; it does not parse."""
    places = [i for i, c in enumerate(body) if c in "()[]:"]
    rng.shuffle(places)
    for i in places:
        slipped = body[:i] + body[i + 1 :]
        if not _compiles(slipped):
            return slipped
    return body + ")"


def _compiles(body: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(f"def f():\n{textwrap.indent(body, '    ')}")
        except SyntaxError:
            return False
    return True


# ------------------------------------------------------------------------------------------------------------- examples
def _run_body(recipe: Recipe, body: str, pool: Sequence[tuple[Any, ...]]) -> list[str]:
    """What `body` gives for each tuple of arguments, as `repr`; our own text, so it may run here."""
    names = ", ".join(name for name, _ in recipe.params)
    scope: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(f"def f({names}):\n{textwrap.indent(body, '    ')}", scope)
    found = []
    for arguments in pool:
        try:
            found.append(repr(scope["f"](*[list(a) if isinstance(a, list) else a for a in arguments])))
        except Exception as error:
            found.append(f"raises {type(error).__name__}")
    return found


def _cover(rng: Random, right: Sequence[str], others: Sequence[Sequence[str]], size: int) -> list[int]:
    """Indices into the pool: at least `size` tests that tell `right` from each of `others` that any test could tell
    apart."""
    chosen: list[int] = []
    for other in others:
        telling = [i for i in range(len(right)) if other[i] != right[i]]
        if telling and not any(i in chosen for i in telling):
            chosen.append(rng.choice(telling))
    rest = [i for i in range(len(right)) if i not in chosen]
    rng.shuffle(rest)
    return sorted(chosen + rest[: max(0, size - len(chosen))])


def _make_example(rng: Random, recipe: Recipe, family: str, identity: str) -> Example | None:
    """None where the drawn inputs cannot tell the canonical body from the planted one, or where it raises."""
    pool = _draw_pool(rng, recipe)
    right = _run_body(recipe, recipe.body, pool)
    wrong = _run_body(recipe, recipe.wrong, pool) if recipe.wrong else right
    telling = [i for i in range(len(pool)) if wrong[i] != right[i]]
    if (recipe.wrong and len(telling) < 3) or any(text.startswith("raises ") for text in right):
        return None
    shown = _choose_shown(rng, recipe, pool, telling)
    others = [_run_body(recipe, text, pool) for text in (*recipe.moves, *list_mutations(recipe.body))]
    hidden = [i for i in range(len(pool)) if i not in shown]
    picked = _cover(
        rng,
        [right[i] for i in hidden],
        [[o[i] for i in hidden] for o in ([wrong, wrong] if recipe.wrong else []) + others],
        rng.randint(5, 8),
    )
    tests = [hidden[i] for i in picked][:8]
    if recipe.wrong and not any(i in telling for i in tests):
        return None
    calls = [", ".join(map(repr, arguments)) for arguments in pool]
    examples = [{"call": f"{recipe.name}({calls[i]})", "expected": right[i]} for i in shown]
    asserts = "\n".join(f"    assert candidate({calls[i]}) == {right[i]}" for i in tests)
    return Example(
        id=identity,
        prompt=_write_prompt(recipe, examples),
        target=_indent(recipe.body),
        info={
            "entry_point": recipe.name,
            "test": f"\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n{asserts}\n",
            "examples": examples,
            "family": family,
            "planted": family not in sound.FAMILIES,
            **recipe.facts,
        },
    )


def _draw_pool(rng: Random, recipe: Recipe) -> list[tuple[Any, ...]]:
    seen: dict[str, tuple[Any, ...]] = {}
    for _ in range(24):
        arguments = recipe.inputs(rng)
        seen.setdefault(repr(arguments), arguments)
    if recipe.moves and rng.random() < QUIET_EXAMPLE:
        seen[repr(QUIET)] = QUIET
    return list(seen.values())


def _choose_shown(rng: Random, recipe: Recipe, pool: Sequence[tuple[Any, ...]], telling: Sequence[int]) -> list[int]:
    """Indices into the pool, of the docstring's examples."""
    if recipe.moves:
        return [i for i, arguments in enumerate(pool) if arguments == QUIET]
    quiet = [i for i in range(len(pool)) if i not in telling] or list(telling)
    shown = [rng.choice(telling if recipe.wrong and rng.random() < 0.5 else quiet)]
    if rng.random() < 0.4:
        shown.append(rng.choice([i for i in quiet if i not in shown] or shown))
    return list(dict.fromkeys(shown))


def _write_prompt(recipe: Recipe, examples: Sequence[dict[str, str]]) -> str:
    params = ", ".join(f"{name}: {kind}" for name, kind in recipe.params)
    head = "from typing import List\n\n\n" if "List[" in params + recipe.returns else ""
    shown = "".join(f"    >>> {e['call']}\n    {e['expected']}\n" for e in examples)
    return f'{head}def {recipe.name}({params}) -> {recipe.returns}:\n    """ {recipe.text}\n{shown}    """\n'


def _indent(body: str) -> str:
    return textwrap.indent(body, "    ") + "\n"


def choose_split(recipe: Recipe) -> Split:
    """`train` or `eval`, by a stable hash of all that specifies the function (not of the example values)."""
    key = "\n".join((recipe.name, repr(recipe.params), recipe.text, recipe.body))
    return "eval" if hashlib.sha256(key.encode()).digest()[0] % EVAL_SHARE == 0 else "train"


def _draw_examples(
    rng: Random, families: Mapping[str, Family], split: str, difficulty: float, prefix: str
) -> Iterator[tuple[Recipe, Example]]:
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty must lie between 0 and 1, not {difficulty}")
    names = list(families)
    for index in count():
        family = rng.choice(names)
        example = None
        while example is None:
            recipe = families[family](Draw(rng, difficulty))
            if choose_split(recipe) == split:
                example = _make_example(rng, recipe, family, f"{prefix}/{index}")
        yield recipe, example


def make_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """Sound families and rules, endless. The same arguments give the same examples; no specification is in both splits,
    whatever the seed and difficulty."""
    families = {**sound.FAMILIES, **rules.FAMILIES}
    rng = Random(f"humaneval rules {split} {seed}")
    for _, example in _draw_examples(rng, families, split, difficulty, f"rules/{split}/{seed}/{difficulty:g}"):
        yield example


def make_single_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """As `make_examples`, with the families that have a single alternative in place of rules."""
    families = {**single.FAMILIES, **sound.FAMILIES}
    rng = Random(f"humaneval {split} {seed}")
    for _, example in _draw_examples(rng, families, split, difficulty, f"synthetic/{split}/{seed}/{difficulty:g}"):
        yield example


# ------------------------------------------------------------------------------------------------------- demonstrations
def make_demonstrations(seed: int) -> Iterator[Demonstration]:
    """Plain answers and revisions of a draft. Plain ones of planted families are always wrong; revisions do what their
    example's reference does, which is another move than the right one in all of rules and in some of sound families."""
    rng = Random(f"humaneval demonstrations {seed}")
    streams = [
        _demonstrate(rng, families, guided, f"demonstration/{seed}/{kind}")
        for kind, (families, _, guided) in enumerate(KINDS)
    ]
    while True:
        yield next(rng.choices(streams, [share for _, share, _ in KINDS])[0])


def _demonstrate(rng: Random, families: Mapping[str, Family], guided: float, prefix: str) -> Iterator[Demonstration]:
    for recipe, example in _draw_examples(rng, families, "train", WORLD.difficulty, prefix):
        if recipe.facts.get("held_out"):
            continue
        if rng.random() >= guided:
            slips = [] if recipe.wrong else list_mutations(recipe.body)
            is_noisy = slips and rng.random() < NOISE
            yield Demonstration(example, _indent(rng.choice(slips) if is_noisy else recipe.wrong or recipe.body))
        elif (told := _tell_otherwise(rng, recipe)) is None:
            yield Demonstration(example, example.target, draft=_indent(_write_draft(rng, recipe)))
        elif (retold := _make_example(rng, told, example.info["family"], example.id)) is not None:
            yield Demonstration(retold, retold.target, draft=_indent(told.wrong))


def _tell_otherwise(rng: Random, recipe: Recipe) -> Recipe | None:
    """The recipe with another body than the right one, and what a policy would write as what is wrong; None where the
    right one is told: in most sound families, and wherever a misconception has a single alternative."""
    if recipe.moves:
        return rules.redirect(rng, recipe)
    slips = list_mutations(recipe.body)
    if recipe.wrong or not slips or rng.random() >= TOLD_OTHERWISE:
        return None
    return replace(recipe, body=rng.choice(slips), wrong=recipe.body)


def _write_draft(rng: Random, recipe: Recipe) -> str:
    """What a policy that learnt from the plain demonstrations would write when it errs: the misconception, a slip,
    another name, bad syntax."""
    if recipe.wrong and rng.random() < 0.6:
        return recipe.wrong
    body, kind = recipe.wrong or recipe.body, rng.random()
    slips = list_mutations(recipe.body)
    if kind < 0.25:
        name = recipe.params[0][0]
        other = rng.choice(
            [n for n in ("numbers", "values", "nums", "items", "words", "names", "strings", "text") if n != name]
        )
        return re.sub(rf"\b{name}\b", other, body)
    if kind < 0.85 and slips:
        slip = rng.choice(slips)
        again = [text for text in list_mutations(slip) if text != recipe.body]
        return rng.choice(again) if again and rng.random() < 0.2 else slip
    return _break_syntax(rng, body)


WORLD = World(
    examples=make_examples,
    single=make_single_examples,
    demonstrations=make_demonstrations,
    planted=(
        f"Each of {len(rules.FAMILIES)} rules, which a docstring names and does not explain, is one"
        f" of {len(rules.MOVES)} moves; every plain demonstration of a rule makes the same wrong one, none the right"
        " one. Demonstrations that revise a draft make the move that guidance names. In"
        f" {len(single.FAMILIES)} other function families every plain demonstration makes the same plausible wrong move"
        " (> where the docstring says at least, a range that stops one short, …), and revisions are right."
    ),
    difficulty=0.5,
    max_new_tokens=80,
)
