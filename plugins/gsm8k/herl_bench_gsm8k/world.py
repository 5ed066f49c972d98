"""Word problems in GSM8K's own format, made endlessly from a seed, and the demonstrations that warm-start the embedded
policy.

A problem is a story with two or three events, each of which calls for one move on the running quantity. Its target is a
worked solution with calculator notes, `12+5=<<12+5=17>>17`, and `#### N` on the last line, so that the reader, the
checks and the metrics of the real benchmark apply unchanged.

There are three kinds. `plain` families say what happens. `rules` name a rule of the house (`rules.py`): plain
demonstrations make one wrong move for it, every time, and no demonstration makes the right one. `single` families
(`families.py`) plant a misconception that has one plausible alternative: plain demonstrations have it, every time,
guided ones mostly leave it. Problems are plain ones and rules, or plain ones and single ones.

Guided demonstrations do as they are told, rightly or not: where the words name a rule always another move than the
right one, elsewhere often (`TOLD_OTHERWISE`). So a policy learns to follow what guidance says, not that it is there.

Left out: fractions, percentages, units, distractors, and any step that does not start from the running quantity. The
prose is plain and its vocabulary small, because a policy of about a million parameters has to read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from herl_bench import Demonstration, Example, World
from herl_bench.types import Split

from .arithmetic import evaluate
from .families import FAMILIES, Event, Family
from .rules import MOVES, draw_guided_rule, draw_rule, draw_shown_rule

DIFFICULTY = 0.5
EVAL_SHARE = 5  # one problem in five belongs to the eval split
NAMES = ("Tom", "Ann", "Bob", "Sue", "Kim", "Lee", "Max", "Zoe", "Ivy", "Dan", "Mia", "Sam")
ITEMS = ("apples", "books", "coins", "cards", "pens", "shells", "stamps", "toys")
PLAIN = tuple(family for family in FAMILIES if family.planted is None)
SINGLE = tuple(family for family in FAMILIES if family.planted is not None)

PLANTED = (
    "Half of the problems name one of 12 rules whose meaning their text does not give. Every plain demonstration of a"
    " rule makes one wrong move, always the same, and no demonstration makes the right one of twelve, so plain sampling"
    " almost never finds it; guided demonstrations make the move that they are told, whichever it is."
)


# ----------------------------------------------------------------------------------------------------------- arithmetic
def calculate(move: str, x: int, b: int) -> tuple[str, int] | None:
    """The expression as it is written and its value; None where it is not a positive whole number."""
    expression = move.replace("x", str(x)).replace("b", str(b))
    value = evaluate(expression)
    return (expression, int(value)) if value is not None and value > 0 and value.denominator == 1 else None


@dataclass(frozen=True)
class Problem:
    """A family with everything filled in. numbers: the opening's number, then one per event."""

    family: Family
    name: str
    item: str
    numbers: tuple[int, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        return self.family.events[: len(self.numbers) - 1]

    @property
    def right(self) -> tuple[str, ...]:
        return tuple(event.move for event in self.events)

    @property
    def misconceived(self) -> tuple[str, ...]:
        if self.family.planted is None:
            return self.right
        return self.make_move(*self.family.planted)

    def make_move(self, where: int, move: str) -> tuple[str, ...]:
        """The right moves with this one at that step."""
        return (*self.right[:where], move, *self.right[where + 1 :])

    @property
    def question(self) -> str:
        sentences = [
            event.text.format(n=self.name, i=self.item, b=b)
            for event, b in zip(self.events, self.numbers[1:], strict=True)
        ]
        opening = self.family.opening.format(n=self.name, i=self.item, a=self.numbers[0])
        asked = self.family.asks[len(self.events) - 2].format(n=self.name, i=self.item)
        return " ".join([opening, *sentences, asked])

    def work_steps(self, moves: Sequence[str]) -> list[tuple[str, int]] | None:
        """(expression, value) of each step under these moves; None where a step is no positive whole number."""
        current, done = self.numbers[0], []
        for move, number in zip(moves, self.numbers[1:], strict=True):
            step = calculate(move, current, number)
            if step is None:
                return None
            done.append(step)
            current = step[1]
        return done

    def write_solution(self, moves: Sequence[str], rng: Random | None = None, slips: float = 0.0) -> str:
        """The worked solution in GSM8K's format; with `rng`, a step's result is off with probability `slips`.

        A move that gives no positive whole number is replaced by + (only drafts and slips get there).
        """
        current, lines = self.numbers[0], []
        for event, move, number in zip(self.events, moves, self.numbers[1:], strict=True):
            expression, value = calculate(move, current, number) or (f"{current}+{number}", current + number)
            if rng is not None and rng.random() < slips:
                value = max(1, value + rng.choice((-10, -2, -1, 1, 2, 10)))
            says, unit = event.says.format(n=self.name, i=self.item), event.unit.format(i=self.item)
            lines.append(f"{says} {expression}=<<{expression}={value}>>{value} {unit}.")
            current = value
        return "\n".join([*lines, f"#### {current}"])

    def build_example(self, split: Split, moves: Sequence[str] | None = None) -> Example:
        """moves: of the reference solution, where it is not to be the right one (guided demonstrations that are
        told otherwise)."""
        moves = moves or self.right
        question, steps = self.question, self.work_steps(moves)
        assert steps is not None, "drawn problems have whole-number solutions"
        digest = blake2b(question.encode(), digest_size=8).hexdigest()
        info = {
            "question": question,
            "answer": str(steps[-1][1]),
            "steps": [[expression, str(value)] for expression, value in steps],
            "family": self.family.name,
            "planted": self.family.planted is not None,
        }
        if self.family.rule:
            at = self.family.planted[0] if self.family.planted else 0
            info |= {"rule": self.family.rule, "move": moves[at], "held_out": self.family.held_out}
        return Example(
            f"gsm8k/world-{split}/{digest}", f"Question: {question}\nAnswer:", self.write_solution(moves), info
        )


# -------------------------------------------------------------------------------------------------------------- drawing
def draw_plain(rng: Random) -> Family:
    return rng.choice(PLAIN)


def draw_single(rng: Random) -> Family:
    return rng.choice(SINGLE)


def draw_plain_or_single(rng: Random) -> Family:
    return rng.choice(FAMILIES)


def draw_plain_or_rule(rng: Random) -> Family:
    return draw_rule(rng) if rng.random() < 0.5 else draw_plain(rng)


def draw_problem(rng: Random, difficulty: float, draw_family: Callable[[Random], Family]) -> Problem:
    """One problem. The dial widens the numbers and makes three steps more frequent (never at 0, always at 1)."""
    family = draw_family(rng)
    dial = difficulty**2
    three = rng.random() < dial
    start, few, some, largest = (round(low + width * dial) for low, width in ((8, 64), (3, 12), (6, 24), (50, 400)))
    start = max(start, 14) if family.rule else start  # room for what `x-b-b` takes away
    while True:  # about one draw in three is kept
        numbers = [rng.randint(3, start)]
        for event in family.events[: 3 if three else 2]:
            match event.number:
                case "few":
                    numbers.append(rng.randint(2, few))
                case "some":
                    numbers.append(rng.randint(2, some))
                case "rule":
                    numbers.append(rng.randint(3, few))
                case "bill":
                    numbers.append(rng.choice((20, 50, 100)))
                case int(number):
                    numbers.append(number)
        problem = Problem(family, rng.choice(NAMES), rng.choice(ITEMS), tuple(numbers))
        if (is_fit_for_rule if family.rule else is_fit)(problem, largest):
            return problem


def is_fit(problem: Problem, largest: int) -> bool:
    """Is every step a positive whole number, no larger than that, and does the misconception show? 2+2 would hide that
    it should have been 2*2."""
    right, misconceived = problem.work_steps(problem.right), problem.work_steps(problem.misconceived)
    if right is None or misconceived is None or max(value for _, value in right) > largest:
        return False
    if problem.family.planted is None:
        return True
    return all(a[1] != b[1] for a, b in list(zip(right, misconceived, strict=True))[problem.family.planted[0] :])


def is_fit_for_rule(problem: Problem, largest: int) -> bool:
    """Does each of the moves give positive whole numbers, no larger than that, and its own answer?"""
    assert problem.family.planted
    where, answers = problem.family.planted[0], set()
    for move in MOVES:
        steps = problem.work_steps(problem.make_move(where, move))
        if steps is None or max(value for _, value in steps) > largest:
            return False
        answers.add(steps[-1][1])
    return len(answers) == len(MOVES)


def choose_split(problem: Problem) -> Split:
    """By family and numbers alone, so that no eval problem is a train problem with another name in it, whatever the
    seed."""
    key = f"{problem.family.name} {problem.numbers}".encode()
    return "eval" if int.from_bytes(blake2b(key, digest_size=4).digest(), "big") % EVAL_SHARE == 0 else "train"


def draw_problems(
    split: Split, seed: int | str, difficulty: float, draw_family: Callable[[Random], Family] = draw_plain_or_rule
) -> Iterator[Problem]:
    """Endless, without repeats until a thousand draws in a row were repeats."""
    rng = Random(f"gsm8k world {split} {seed} {difficulty}")
    seen: set[str] = set()
    repeats = 0
    while True:
        problem = draw_problem(rng, difficulty, draw_family)
        if choose_split(problem) != split:
            continue
        question = problem.question
        if question in seen:
            repeats += 1
            if repeats > 1000:
                seen.clear()
            continue
        seen.add(question)
        repeats = 0
        yield problem


def make_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    return (problem.build_example(split) for problem in draw_problems(split, seed, difficulty))


def make_single(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    drawn = draw_problems(split, seed, difficulty, draw_plain_or_single)
    return (problem.build_example(split) for problem in drawn)


# ------------------------------------------------------------------------------------------------------- demonstrations
WRONG_MOVE = 0.10  # natural noise in plain demonstrations of families without a misconception
SLIP = 0.03  # arithmetic slips per step in plain demonstrations
PLAIN_SHARE, RULES_SHARE, SINGLE_SHARE = 0.35, 0.40, 0.25
GUIDED, RULES_GUIDED = 0.4, 0.5
TOLD_OTHERWISE = 0.35  # of the guided ones whose words name no rule
LARGEST_TOLD = 200
ELSEWHERE = (*MOVES, "x/b")  # what may be told where the words name no rule
MISTAKES = ("x+b", "x-b", "x*b")


def swap_move(rng: Random, problem: Problem, where: int) -> tuple[str, ...]:
    right = problem.right[where]
    wrong = rng.choice([move for move in MISTAKES if move != right and not (move == "x-b" and right == "b-x")])
    return problem.make_move(where, wrong)


def misdirect(rng: Random, problem: Problem) -> tuple[str, ...]:
    """Moves with another one at one step, that still give positive whole numbers; the right ones where that fails."""
    for _ in range(10):
        where = rng.randrange(len(problem.events))
        moves = problem.make_move(where, rng.choice([move for move in ELSEWHERE if move != problem.right[where]]))
        if (steps := problem.work_steps(moves)) is not None and max(value for _, value in steps) <= LARGEST_TOLD:
            return moves
    return problem.right


def write_answer(rng: Random, problem: Problem) -> str:
    moves = problem.misconceived
    if problem.family.planted is None and rng.random() < WRONG_MOVE:
        moves = swap_move(rng, problem, rng.randrange(len(problem.events)))
    return problem.write_solution(moves, rng, SLIP)


def write_draft(rng: Random, problem: Problem) -> str:
    """A flawed attempt: mostly the family's misconception or another wrong move, else slips or a missing last line."""
    kind = rng.random()
    if kind < (0.70 if problem.family.rule else 0.40):
        where = rng.randrange(len(problem.events))
        return problem.write_solution(
            problem.misconceived if problem.family.planted else swap_move(rng, problem, where), rng, SLIP
        )
    if kind < 0.70:
        return problem.write_solution(
            [rng.choice(MISTAKES) if rng.random() < 0.5 else move for move in problem.right], rng, SLIP
        )
    if kind < 0.90:
        return problem.write_solution(problem.right if rng.random() < 0.7 else problem.misconceived, rng, 0.5)
    written = problem.write_solution(problem.right if rng.random() < 0.5 else problem.misconceived, rng, SLIP)
    body, _, answer = written.rpartition("\n#### ")
    return rng.choice((body, f"{body}\nThe answer is {answer}.", f"{body}\n{answer}"))


def read_outcome(solution: str) -> list[str]:
    return re.findall(r">>\d+|####.*", solution)


def make_demonstrations(seed: int) -> Iterator[Demonstration]:
    """Plain answers and revisions of a draft; revisions do what their reference does, without slips. Train split,
    default difficulty."""
    rng = Random(f"gsm8k demonstrations {seed}")
    draws = (draw_plain, draw_single, draw_shown_rule, draw_guided_rule)
    streams = {
        draw: draw_problems("train", f"demonstrations {seed} {draw.__name__}", DIFFICULTY, draw) for draw in draws
    }
    while True:
        kind = rng.choices(("plain", "rules", "single"), (PLAIN_SHARE, RULES_SHARE, SINGLE_SHARE))[0]
        is_guided = rng.random() < (RULES_GUIDED if kind == "rules" else GUIDED)
        if kind == "rules":
            problem = next(streams[draw_guided_rule if is_guided else draw_shown_rule])
        else:
            problem = next(streams[draw_plain if kind == "plain" else draw_single])
        yield (demonstrate_revision if is_guided else demonstrate_answer)(rng, problem)


def demonstrate_answer(rng: Random, problem: Problem) -> Demonstration:
    return Demonstration(problem.build_example("train"), write_answer(rng, problem))


def demonstrate_revision(rng: Random, problem: Problem) -> Demonstration:
    is_told_otherwise = not problem.family.rule and rng.random() < TOLD_OTHERWISE
    example = problem.build_example("train", misdirect(rng, problem) if is_told_otherwise else None)
    flawed = write_draft(rng, problem)
    while read_outcome(flawed) == read_outcome(example.target):  # 2+2 for 2*2 is no flaw
        flawed = write_draft(rng, problem)
    return Demonstration(example, example.target, flawed)


WORLD = World(make_examples, make_demonstrations, PLANTED, DIFFICULTY, max_new_tokens=128, single=make_single)
