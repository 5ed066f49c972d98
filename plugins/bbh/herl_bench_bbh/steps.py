"""Find the worked steps of a response and check them, subtask by subtask.

Two questions are kept apart. `follow` asks whether each step follows from the one before *as written* and from the
item's text, so one slip gives one unmet step. `reach` asks whether the right intermediate state is reached, so it also
sees steps that follow well from a misreading; it solves the item, which is as good as knowing its answer.

The forms that are read are those of the chain-of-thought examples that BIG-Bench Hard is usually prompted with: `A = 2
+ 3 = 5`, `(1) Turn left: (0, 0), facing …`, `(2) Ann and Bob swap: Ann: red, Bob: blue`, `- plums (3)`, `"oven": "o"
(15)`, `"ant" < "cow"`, `(2) The last word goes to the front: 3 cow 1 ant 2 bee`, `(1) … "(left) ? red ? blue ?
(right)"`, `3: [ ; stack: ( [`, `today is 04/19/1969`. What is written in other words is not judged.

A correction says what to do, never what comes out: it names the move, not its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import singledispatch
from itertools import pairwise

from herl_bench import Finding, answer_text
from herl_bench_bbh.orders import Rearrangement, find_move
from herl_bench_bbh.solvers import (
    CLOSER,
    START,
    WRITTEN,
    Arranging,
    Counting,
    Day,
    Dyck,
    Expression,
    Lies,
    Ordering,
    Problem,
    Route,
    Sorting,
    State,
    Tracking,
    Value,
    count_days,
    evaluate,
    go,
    parse_date,
    tokenize,
)

_LONGEST = 20_000
MOST_FINDINGS = 200
_MOST_STEPS = 60  # a response that repeats itself without end is judged by its first steps


@singledispatch
def follow(problem: Problem, response: str) -> list[Finding]:
    """One finding per step that can be checked against the step before it; [] where none can. response: what `working`
    gives."""
    raise TypeError(f"no step check for {type(problem).__name__}")


@singledispatch
def reach(problem: Problem, response: str) -> list[Finding]:
    """One finding per intermediate state of the right solution that the response shows; [] where it shows none.
    response: as for `follow`."""
    raise TypeError(f"no step check for {type(problem).__name__}")


def cut_working(response: str) -> str:
    """What is judged of a response: no thoughts, nothing from the final answer on, whose own words are no step, and at
    most `_LONGEST` characters."""
    text = answer_text(response) or ""
    answer = re.search(r"(?:so )?the answer is", text, re.IGNORECASE)
    return text[: min(answer.start() if answer else len(text), _LONGEST)]


# ----------------------------------------------------------------------------------------------- expressions: A = … = …
_RUN = re.compile(r"(?:\d+|\b(?:True|False|not|and|or)\b|(?<![A-Za-z])[A-Z](?![A-Za-z])|[-+*()=]|[ \t])+")


def _find_chains(response: str) -> Iterator[list[str]]:
    separate = re.sub(r"\band (?=[A-Z] =)", "; ", response)  # "where A = (…) and B = (…)" are two chains
    for run in _RUN.findall(separate):
        sides = [side.strip() for side in run.split("=")]
        if len(sides) > 1 and any(sides):
            yield [side for side in sides if side]


def _evaluate_chains(response: str) -> Iterator[tuple[str, list[tuple[str, Value | None]]]]:
    """Each chain as (name or "", [(side, its value)]); a single capital on the left names the last value, as
    written."""
    names: dict[str, Value] = {}
    for sides in _find_chains(response):
        name = sides[0] if re.fullmatch(r"[A-Z]", sides[0]) else ""
        valued = [(side, evaluate(side, names)) for side in (sides[1:] if name else sides)]
        yield name, valued
        known = [found for _, found in valued if found is not None]
        if name and known:
            names[name] = known[-1]


def find_first_move(text: str) -> str:
    """What to work out first in an expression, as written there: the innermost brackets, then the tightest sign."""
    text = re.sub(r"\(\s*(-?\d+|True|False)\s*\)", r"\1", text)
    inner = re.search(r"\(([^()]*)\)", text)
    if inner:
        return find_first_move(inner[1].strip())
    for move in (r"not (?:True|False)", r"- ?-\d+", r"-?\d+ \* -?\d+", r"(?:True|False) and (?:True|False)"):
        found = re.search(move, text)
        if found:
            return found[0]
    found = re.search(r"-?\d+ [-+] -?\d+|(?:True|False) or (?:True|False)", text)
    return found[0] if found else text


def _advise_move(text: str) -> str:
    move = find_first_move(text)
    if re.fullmatch(r"- ?-\d+", move):
        return f"Minus a minus is plus: {move}."
    return f'Do "{move}" first.' if move != text.strip("() ") else f'Do "{move}" again.'


@follow.register
def _(problem: Expression, response: str) -> list[Finding]:
    found: list[Finding] = []
    for _, sides in _evaluate_chains(response):
        for (left, one), (right, other) in pairwise(sides):
            if one is None or other is None:
                continue
            same = one == other and isinstance(one, bool) == isinstance(other, bool)
            found.append(Finding(same, f"{left} = {right}", "" if same else _advise_move(left), _name_step(found)))
    return found[:_MOST_STEPS]


@reach.register
def _(problem: Expression, response: str) -> list[Finding]:
    chains = list(_evaluate_chains(response))
    if not chains:
        return []
    boolean = isinstance(evaluate(problem.text), bool)
    wanted = [problem.text] if boolean else list(problem.groups) or [problem.text]
    found: list[Finding] = []
    for text in wanted:
        names = {name for name, sides in chains if any(_is_same(side, text) for side, _ in sides)}
        mine = [
            sides
            for name, sides in chains
            if (name and name in names) or any(_is_same(side, text) for side, _ in sides)
        ]
        last = mine[-1][-1][1] if mine else None
        met = bool(mine) and last == evaluate(text)
        evidence = "" if met else f"{text} is worked out wrongly" if mine else f"{text} is not worked out"
        found.append(Finding(met, evidence, "" if met else _advise_move(text), _name_step(found)))
    return found


def _is_same(one: str, other: str) -> bool:
    """The same tokens, outer brackets aside."""
    a, b = (tokenize(t) or [t] for t in (one, other))
    return a == b or a == ["(", *b, ")"] or b == ["(", *a, ")"]


def _name_step(found: list[Finding]) -> str:
    return f"step {len(found) + 1}"


# ------------------------------------------------------------------------------------------------ numbered steps: (k) …
def _split_numbered(response: str) -> list[tuple[int, str]]:
    pieces = re.split(
        r"(?:(?<=\n)|(?<=\. ))\((\d{1,2})\) ", "\n" + response
    )  # not the "(1)" of "we know from (1) that"
    return [(int(k), text) for k, text in zip(pieces[1::2], pieces[2::2], strict=True)][:_MOST_STEPS]


_PLACE = re.compile(r"\((-?\d{1,6}), ?(-?\d{1,6})\)(?:, facing the (positive|negative) ([xy])-axis)?")
_AXES = {("positive", "y"): (0, 1), ("negative", "y"): (0, -1), ("positive", "x"): (1, 0), ("negative", "x"): (-1, 0)}


def _find_places(problem: Route, response: str) -> Iterator[tuple[int, State, State | None]]:
    """(step, state before as written, state after as written or None where the step shows none)."""
    previous = START
    for k, text in _split_numbered(response):
        if not 1 <= k <= len(problem.moves):
            continue
        place = _PLACE.search(text)
        if not place:
            yield k, previous, None
            continue
        facing = _AXES[place[3], place[4]] if place[3] else go(previous, problem.moves[k - 1])[2:]
        after: State = (int(place[1]), int(place[2]), *facing)
        yield k, previous, after
        previous = after


@follow.register
def _(problem: Route, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, previous, after in _find_places(problem, response):
        if after is None:
            continue
        move = problem.moves[k - 1]
        met = after == go(previous, move)
        place = f"({previous[0]}, {previous[1]})"
        found.append(
            Finding(
                met,
                f"({k}) gives ({after[0]}, {after[1]})",
                "" if met else f"From {place}: {move.text.lower()}.",
                f"step {k}",
            )
        )
    return found


@reach.register
def _(problem: Route, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, _, after in _find_places(problem, response):
        if after is not None:
            met = after == problem.states[k - 1]
            found.append(Finding(met, "" if met else f"({k}) is at the wrong place", "", f"step {k}"))
    return found


def _find_verdicts(problem: Lies, response: str) -> Iterator[tuple[int, bool]]:
    for k, text in _split_numbered(response):
        claims = re.findall(r"(?<=\w )(tells the truth|lies|is truthful|is lying)\b", text)
        if claims and 1 <= k <= len(problem.statements):
            yield k, claims[-1] in ("tells the truth", "is truthful")


@follow.register
def _(problem: Lies, response: str) -> list[Finding]:
    found: list[Finding] = []
    thought: dict[str, bool] = {}
    for k, truthful in _find_verdicts(problem, response):
        speaker, about, says = problem.statements[k - 1]
        thought[speaker] = truthful
        if speaker == about:
            met, help_ = truthful == says, f"Read again what is said of {speaker}."
        elif about in thought:
            met = truthful == (thought[about] == says)
            known, claim = ("tells the truth" if b else "lies" for b in (thought[about], says))
            help_ = f"{about} {known}, and {speaker} says {about} {claim}: is that so?"
        else:
            continue
        found.append(
            Finding(
                met, f"({k}) {speaker} {'tells the truth' if truthful else 'lies'}", "" if met else help_, f"step {k}"
            )
        )
    return found


@reach.register
def _(problem: Lies, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, truthful in _find_verdicts(problem, response):
        met = truthful == problem.truths[problem.statements[k - 1][0]]
        found.append(
            Finding(met, "" if met else f"({k}) is wrong about {problem.statements[k - 1][0]}", "", f"step {k}")
        )
    return found


def _find_holdings(problem: Tracking, response: str) -> Iterator[tuple[int, dict[str, str]]]:
    people = "|".join(map(re.escape, problem.start))
    for k, text in _split_numbered(response):
        now = {}
        for who, what in re.findall(rf"\b({people}): (?!(?:{people}):)([^,.;:\n]+)", text):
            now[who] = next((t for t in problem.start.values() if _is_name_of(what, t)), what.strip())
        if len(now) == len(problem.start) and 0 <= k <= len(problem.swaps):
            yield k, now


def _is_name_of(words: str, thing: str) -> bool:
    """`pink` and `the pink ball` both name `pink ball`."""
    words = re.sub(r"^(?:the|an?) ", "", words.strip().lower())
    return words == thing.lower() or words == thing.lower().rsplit(" ", 1)[0]


@follow.register
def _(problem: Tracking, response: str) -> list[Finding]:
    found: list[Finding] = []
    previous = dict(problem.start)
    for k, now in _find_holdings(problem, response):
        if k == 0:
            met, help_ = now == problem.start, "Copy who has what at the start."
        else:
            one, other = problem.swaps[k - 1]
            wanted = {**previous, one: previous[other], other: previous[one]}
            met, help_ = now == wanted, f"{one} and {other} swap: each takes what the other had, the rest stays."
        found.append(
            Finding(
                met,
                f"({k}) {', '.join(f'{who}: {what}' for who, what in now.items())}",
                "" if met else help_,
                f"step {k}",
            )
        )
        previous = now
    return found


@reach.register
def _(problem: Tracking, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, now in _find_holdings(problem, response):
        met = now == problem.states[k]
        found.append(Finding(met, "" if met else f"({k}) is not who has what", "", f"step {k}"))
    return found


def _find_orders(problem: Ordering, response: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    by_length = sorted(problem.names, key=len, reverse=True)
    name = re.compile(r"\b(" + "|".join(map(re.escape, by_length)) + r")\b", re.IGNORECASE)
    exact = {n.lower(): n for n in problem.names}
    for k, text in _split_numbered(response):
        for quoted in re.findall(r'"([^"\n]*)"', text):
            order = tuple(exact[n.lower()] for n in name.findall(quoted))
            if len(order) > 1 or (order and "?" in quoted):
                yield k, order


@follow.register
def _(problem: Ordering, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, order in _find_orders(problem, response):
        whole = sorted(order) == sorted(problem.names)
        if k <= len(problem.clues) and not whole:
            clue = problem.clues[k - 1]
            clues = [clue] if clue.other else []  # where an unfilled line puts a single thing cannot be read off it
        else:
            clues = list(problem.clues) if whole else []
        broken = next((clue for clue in clues if not clue.holds(order)), None)
        if not clues:
            continue
        help_ = (
            f"Put {broken.one} before {broken.other}."
            if broken and broken.other
            else f"See: {broken.text}."
            if broken
            else ""
        )
        found.append(Finding(broken is None, f"({k}) has {' '.join(order)}", help_, f"step {k}"))
    return found


@reach.register
def _(problem: Ordering, response: str) -> list[Finding]:
    whole = [(k, order) for k, order in _find_orders(problem, response) if sorted(order) == sorted(problem.names)]
    if not whole:
        return []
    k, order = whole[-1]
    met = order == problem.order
    return [Finding(met, "" if met else f"({k}) is not the order", "", f"step {k}")]


# ----------------------------------------------------------------------------------------------- listed things: - x (n)
_LISTED = re.compile(r"^[^\S\n]*[-*•] *([a-z][a-z ]{0,60}?) \((\d{1,3})\)", re.MULTILINE)


@follow.register
def _(problem: Counting, response: str) -> list[Finding]:
    amounts = {name: n for n, name in problem.items}
    listed = [(name.strip(), int(n)) for name, n in _LISTED.findall(response)][:_MOST_STEPS]
    found: list[Finding] = []
    for name, n in listed:
        known = next((a for a in amounts if _is_same_thing(name, a)), None)
        met = known is not None and amounts[known] == n
        help_ = (
            ""
            if met
            else (
                f"Read again how many {name} there are."
                if known is None
                else f"Read again: {WRITTEN[amounts[known]]} {known}."
            )
        )
        found.append(Finding(met, f"{name} ({n})", help_, _name_step(found)))
    if not listed:
        return []
    for sides in _find_chains(response):
        added = re.findall(r"\d+", sides[0])
        if len(sides) == 2 and re.fullmatch(r"\d+(?: \+ \d+)*", sides[0]) and evaluate(sides[1]) is not None:
            complete = evaluate(sides[0]) is not None and sorted(map(int, added)) == sorted(n for _, n in listed)
            met = complete and evaluate(sides[0]) == evaluate(sides[1])
            help_ = "" if met else "Add up every number in the list." if not complete else f"Add {sides[0]} again."
            found.append(Finding(met, f"{sides[0]} = {sides[1]}", help_, _name_step(found)))
    return found


@reach.register
def _(problem: Counting, response: str) -> list[Finding]:
    listed = [(name.strip(), int(n)) for name, n in _LISTED.findall(response)][:_MOST_STEPS]
    if not listed:
        return []
    found: list[Finding] = []
    for n, name in problem.items:
        mine = [m for other, m in listed if _is_same_thing(other, name)]
        if problem.counts(name):
            met = mine == [n]
            found.append(Finding(met, "" if met else f"{name} should be listed once", "", _name_step(found)))
        elif mine:
            found.append(Finding(False, f"{name} should not be listed", f"Leave {name} out.", _name_step(found)))
    return found


def _is_same_thing(one: str, other: str) -> bool:
    plain = [re.sub(r"^(?:heads?|stalks?) of | heads?$", "", t) for t in (one, other)]
    return one == other or plain[0] == plain[1]


# ------------------------------------------------------------------------------------------ letters and orders of words
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_WHICH = re.compile(rf"\b({'|'.join(_ORDINALS)}) letters?", re.IGNORECASE)


def _find_letters(problem: Sorting, response: str) -> Iterator[tuple[str, int, str, int]]:
    """(word, which letter of it from 0, the letter as written, its number as written)."""
    which = 0
    for found in re.finditer(
        rf'{_WHICH.pattern}|"?([a-z][^\s":,]{{0,40}})"?: "?([a-z])"? \((\d{{1,2}})\)', response, re.IGNORECASE
    ):
        if found[1]:
            which = _ORDINALS.index(found[1].lower())
        elif found[2].lower() in problem.words:
            yield found[2].lower(), which, found[3].lower(), int(found[4])


def _find_sorted_runs(problem: Sorting, response: str) -> Iterator[list[str]]:
    for line in re.split(r"[.\n]", response):
        if "<" in line and "?" not in line:
            for run in re.findall(
                r"(?<![^\s<])[^\s<]+(?: *< *[^<\s]+)+", re.sub(r'[\[\]",]|\(\d+\)', " ", line).replace("  ", " ")
            ):
                words = [w.strip().lower() for w in run.split("<")]
                if len(words) > 1 and all(w in problem.words for w in words):
                    yield words


@follow.register
def _(problem: Sorting, response: str) -> list[Finding]:
    found: list[Finding] = []
    for word, which, letter, number in _find_letters(problem, response):
        met = word[which : which + 1] == letter and ord(letter) - 96 == number
        help_ = "" if met else f"Look again at the {_ORDINALS[which]} letter of {word} and its place in the alphabet."
        found.append(Finding(met, f"{word}: {letter} ({number})", help_, _name_step(found)))
    for words in _find_sorted_runs(problem, response):
        for one, other in pairwise(words):
            met = one <= other
            found.append(Finding(met, f"{one} < {other}", "" if met else _compare(one, other), _name_step(found)))
    return found[:_MOST_STEPS]


def _compare(one: str, other: str) -> str:
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    which = _ORDINALS[same] if same < len(_ORDINALS) else "next"
    return f"Compare the {which} letters of {one} and {other}."


@reach.register
def _(problem: Sorting, response: str) -> list[Finding]:
    whole = [words for words in _find_sorted_runs(problem, response) if sorted(words) == sorted(problem.words)]
    if not whole:
        return []
    met = whole[-1] == sorted(problem.words)
    return [Finding(met, "" if met else "the words are not in order", "", "step 1")]


# -------------------------------------------------------------------------------------------- words in a told order
def _find_arrangements(problem: Arranging, response: str) -> Iterator[tuple[int, Rearrangement | None, list[str]]]:
    """(step, the move that it tells if it tells one, the words as it puts them, without numbers before them)."""
    for k, text in _split_numbered(response):
        told, _, listed = text.partition(":")
        words = re.sub(r"\b\d+ ", "", listed.partition(".")[0]).lower().split()
        if words and set(words) <= set(problem.words):
            yield k, find_move(told), words


@follow.register
def _(problem: Arranging, response: str) -> list[Finding]:
    """Is done what the step says, whether or not that is what the order's name stands for?"""
    found: list[Finding] = []
    before = list(problem.words)
    for k, move, words in _find_arrangements(problem, response):
        met = words == move.arrange(before) if move else sorted(words) == sorted(before)
        help_ = f"Do it again: {move.text.lower()}." if move else "Take every word of the list once."
        found.append(Finding(met, f"({k}) gives {' '.join(words)}", "" if met else help_, f"step {k}"))
        before = words if sorted(words) == sorted(before) else before
    return found


@reach.register
def _(problem: Arranging, response: str) -> list[Finding]:
    shown = list(_find_arrangements(problem, response))
    if not shown or problem.move is None:
        return []
    (k, _, words), move = shown[-1], problem.move
    met = words == move.arrange(problem.words)
    seen = f"({k}) is wrong about the {move.about}"
    return [Finding(met, "" if met else seen, "" if met else f"{move.text}.", f"step {k}")]


# ---------------------------------------------------------------------------------------------- stacks: k: [ ; stack: …
_STACK = re.compile(r"^ *(\d{1,3}): *(\S) *; *stack: *((?:[\[({<] ?)+|empty)", re.MULTILINE)
_POPPED = re.compile(r"pop out ((?:\"?[\[({<]\"?,? ?(?:and )?)+)")


@follow.register
def _(problem: Dyck, response: str) -> list[Finding]:
    found: list[Finding] = []
    previous: list[str] = []
    for k, sign, after in _find_stacks(problem, response):
        wanted = [*previous, sign] if sign in CLOSER else previous[:-1]
        met = sign == problem.signs[k - 1] and after == wanted
        help_ = "" if met else f"Push {sign}." if sign in CLOSER else f"{sign} takes the last one off."
        help_ = help_ if sign == problem.signs[k - 1] else f"Sign {k} is {problem.signs[k - 1]}."
        found.append(Finding(met, f"{k}: {sign} ; stack: {' '.join(after) or 'empty'}", help_, f"step {k}"))
        previous = after
    popped = _POPPED.search(response)
    if popped and found:
        order = re.findall(r"[\[({<]", popped[1])
        met = order == previous[::-1]
        found.append(
            Finding(met, f"pop out {' '.join(order)}", "" if met else "The last one opened is closed first.", "pop")
        )
    return found


def _find_stacks(problem: Dyck, response: str) -> Iterator[tuple[int, str, list[str]]]:
    for k, sign, after in _STACK.findall(response):
        if 1 <= int(k) <= len(problem.signs):
            yield int(k), sign, [] if after == "empty" else after.split()


@reach.register
def _(problem: Dyck, response: str) -> list[Finding]:
    found: list[Finding] = []
    for k, _, after in _find_stacks(problem, response):
        met = after == problem.stacks[k - 1]
        found.append(Finding(met, "" if met else f"the stack of line {k} is wrong", "", f"step {k}"))
    return found


# ---------------------------------------------------------------------------------------------------- dates: today is …
_SAID = re.compile(
    r"\b(today|tomorrow|yesterday|the day before yesterday|one week ago(?: from today)?|one week from today|\d{1,3}"
    r" days ago"
    r"|(?:24|48|72) hours later) (?:is|was|will be) (\d{1,2}/\d{1,2}/\d{4})",
    re.IGNORECASE,
)


@follow.register
def _(problem: Day, response: str) -> list[Finding]:
    found: list[Finding] = []
    today = problem.today
    for words, text in _SAID.findall(response):
        day, ahead = parse_date(text), count_days(words)
        if ahead is None:
            continue
        met = day is not None and (day - today).days == ahead
        if words.lower() == "today":
            help_ = f"The day given is {problem.anchor}, so count from it to today."
            today = day or today
        else:
            help_ = f"Count again from today to {words.lower()}."
        found.append(Finding(met, f"{words.lower()} is {text}", "" if met else help_, _name_step(found)))
    return found[:_MOST_STEPS]


@reach.register
def _(problem: Day, response: str) -> list[Finding]:
    days = [parse_date(text) for words, text in _SAID.findall(response) if words.lower() == "today"]
    if not days:
        return []
    met = days[-1] == problem.today
    return [Finding(met, "" if met else "today is not that day", "", "step 1")]
