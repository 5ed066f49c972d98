"""Word problems in GSM8K's own format, made endlessly from a seed, and the demonstrations that warm-start the embedded
policy.

A problem is one of 24 families: an opening and two or three events, each of which calls for one operation on the
running quantity. Its target is a worked solution with calculator notes, `12+5=<<12+5=17>>17`, and `#### N` on the last
line, so that the reader, the checks and the metrics of the real benchmark apply unchanged.

In half of the families a misconception is planted: plain demonstrations take one plausible wrong operation at one step,
every time, so the policy practically never samples the right one on its own; guided demonstrations take the right one.

That alone would teach "guidance is there, so leave the misconception", whatever the guidance says (tried: a false
correction was followed in 1 case of 150; now in 14). Therefore some guided demonstrations are told otherwise: their
reference, and so their guidance and their response, have another operation at one step than the problem's words call
for, and only the guidance tells which.

Left out: fractions, percentages, units, distractors, and any step that does not start from the running quantity. The
prose is plain and its vocabulary small, because a policy of about a million parameters has to read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from herl_bench import Demonstration, Example, World
from herl_bench.types import Split

DIFFICULTY = 0.5
EVAL_SHARE = 5  # one problem in five belongs to the eval split
NAMES = ("Tom", "Ann", "Bob", "Sue", "Kim", "Lee", "Max", "Zoe", "Ivy", "Dan", "Mia", "Sam")
ITEMS = ("apples", "books", "coins", "cards", "pens", "shells", "stamps", "toys")


@dataclass(frozen=True)
class Event:
    """One step. `op` is + - * /, or `from` where the running quantity is taken away from the event's number.

    number: how the number is drawn: `few` (a factor), `some` (an amount), `bill` (20, 50 or 100), or the number itself.
    text: the sentence of the question; says, unit: the words around the calculation in the solution.
    """

    op: str
    number: str | int
    text: str
    says: str
    unit: str


@dataclass(frozen=True)
class Family:
    """opening: introduces the first number, `{a}`. asks: the question after two events, and after three where there is
    a third.

    planted: (index of the event, the wrong operation), or None.
    """

    name: str
    opening: str
    events: tuple[Event, ...]
    asks: tuple[str, ...]
    planted: tuple[int, str] | None = None


FAMILIES = (
    Family(
        "gift_then_growth",
        "{n} has {a} {i}.",
        (
            Event("+", "some", "A friend gives {n} {b} more.", "{n} then has", "{i}"),
            Event("*", "few", "By summer the pile is {b} times as large.", "By summer {n} has", "{i}"),
            Event("-", "some", "In the end {n} gives {b} away.", "{n} keeps", "{i}"),
        ),
        ("How many {i} does {n} have by summer?", "How many {i} does {n} keep?"),
        planted=(1, "+"),
    ),
    Family(
        "stock_left",
        "A shop has {a} {i}.",
        (
            Event("-", "some", "It sells {b} of them in the morning.", "The shop has", "{i} left"),
            Event("*", "few", "Each one that is left costs {b} dollars.", "They cost", "dollars"),
            Event("+", "some", "The shop also has {b} dollars in cash.", "All in all that is", "dollars"),
        ),
        ("How many dollars do the {i} left cost?", "How many dollars is that with the cash?"),
    ),
    Family(
        "full_boxes",
        "{n} packs {a} boxes.",
        (
            Event("*", "few", "Every box holds {b} {i}.", "The boxes hold", "{i}"),
            Event("-", "some", "{b} of the {i} are broken.", "That leaves", "good {i}"),
            Event("+", "some", "A friend brings {b} good ones.", "With those there are", "good {i}"),
        ),
        ("How many good {i} are there?", "How many good {i} are there in the end?"),
        planted=(0, "+"),
    ),
    Family(
        "day_of_work",
        "{n} earns {a} dollars an hour.",
        (
            Event("*", "few", "Today {n} works {b} hours.", "{n} earns", "dollars"),
            Event("-", "some", "Lunch costs {b} dollars.", "After lunch {n} has", "dollars"),
            Event("+", "some", "A guest leaves {b} dollars for {n}.", "In the end {n} has", "dollars"),
        ),
        ("How many dollars does {n} have after lunch?", "How many dollars does {n} have in the end?"),
    ),
    Family(
        "equal_shares",
        "{n} bakes {a} rolls.",
        (
            Event("+", "some", "Then {n} buys {b} more.", "{n} has", "rolls"),
            Event("/", "few", "The rolls are shared equally by {b} friends.", "Each friend gets", "rolls"),
            Event("+", "some", "Each friend had {b} rolls before.", "Each friend now has", "rolls"),
        ),
        ("How many rolls does each friend get?", "How many rolls does each friend have now?"),
        planted=(1, "-"),
    ),
    Family(
        "bus_stops",
        "A bus has {a} people in it.",
        (
            Event("-", "some", "At the first stop {b} people get out.", "After the first stop there are", "people"),
            Event("+", "some", "At the second stop {b} people get in.", "After the second stop there are", "people"),
            Event("+", "some", "At the third stop {b} people get in.", "After the third stop there are", "people"),
        ),
        (
            "How many people are in the bus after the second stop?",
            "How many people are in the bus after the third stop?",
        ),
    ),
    Family(
        "half_of_them",
        "{n} makes {a} cakes on Monday.",
        (
            Event("+", "some", "On Tuesday {n} makes {b} more.", "{n} makes", "cakes"),
            Event("/", 2, "Half of all the cakes are sold.", "The cakes sold are", "cakes"),
            Event("*", "few", "Each cake sold brings {b} dollars.", "They bring", "dollars"),
        ),
        ("How many cakes are sold?", "How many dollars do the cakes bring?"),
        planted=(1, "-"),
    ),
    Family(
        "hens_and_eggs",
        "A farm has {a} hens.",
        (
            Event("*", "few", "Each hen lays {b} eggs a week.", "The hens lay", "eggs"),
            Event("+", "some", "A friend brings {b} eggs.", "Together there are", "eggs"),
            Event("-", "some", "{b} eggs are sold.", "The farm keeps", "eggs"),
        ),
        ("How many eggs are there together?", "How many eggs does the farm keep?"),
    ),
    Family(
        "same_way_each_day",
        "{n} walks {a} km to the lake.",
        (
            Event("+", "some", "From there {n} rides {b} km home.", "The way is", "km"),
            Event("*", "few", "{n} does this on {b} days.", "On all days {n} goes", "km"),
            Event("-", "some", "A friend goes {b} km less in all.", "The friend goes", "km"),
        ),
        ("How many km does {n} go on all days?", "How many km does the friend go?"),
        planted=(1, "+"),
    ),
    Family(
        "rows_of_plants",
        "A garden has {a} rows of plants.",
        (
            Event("*", "few", "There are {b} plants in each row.", "The garden has", "plants"),
            Event("-", "some", "In winter {b} plants die.", "After winter there are", "plants"),
            Event("+", "some", "In spring {n} adds {b} plants.", "In spring there are", "plants"),
        ),
        ("How many plants are there after winter?", "How many plants are there in spring?"),
    ),
    Family(
        "fewer_pages",
        "On Monday {n} reads {a} pages.",
        (
            Event("-", "some", "On Tuesday {n} reads {b} pages fewer.", "On Tuesday {n} reads", "pages"),
            Event("*", "few", "A page takes {n} {b} minutes.", "On Tuesday that takes", "minutes"),
            Event("+", "some", "Then {n} writes for {b} minutes.", "Reading and writing take", "minutes"),
        ),
        ("How many minutes does {n} read on Tuesday?", "How many minutes do reading and writing take on Tuesday?"),
        planted=(0, "+"),
    ),
    Family(
        "weekly_savings",
        "{n} saves {a} dollars a week.",
        (
            Event("*", "few", "{n} does so for {b} weeks.", "{n} saves", "dollars"),
            Event("+", "some", "An aunt gives {n} {b} dollars.", "With that {n} has", "dollars"),
            Event("-", "some", "{n} buys a bag for {b} dollars.", "{n} has left", "dollars"),
        ),
        ("How many dollars does {n} have?", "How many dollars does {n} have left?"),
    ),
    Family(
        "change_from_a_bill",
        "{n} buys {a} {i}.",
        (
            Event("*", "few", "They cost {b} dollars each.", "The {i} cost", "dollars"),
            Event("from", "bill", "{n} pays with a {b} dollar bill.", "{n} gets back", "dollars"),
            Event("+", "some", "At home {n} has {b} dollars more.", "In all {n} has", "dollars"),
        ),
        ("How many dollars does {n} get back?", "How many dollars does {n} have in all?"),
        planted=(1, "+"),
    ),
    Family(
        "water_tank",
        "A tank holds {a} litres of water.",
        (
            Event("+", "some", "Rain adds {b} litres.", "After the rain it holds", "litres"),
            Event("-", "some", "Then {n} uses {b} litres.", "That leaves", "litres"),
            Event("-", "some", "At night {b} litres leak out.", "The next day it holds", "litres"),
        ),
        ("How many litres are left?", "How many litres does the tank hold the next day?"),
    ),
    Family(
        "packs_for_sale",
        "A shop has {a} loose {i}.",
        (
            Event("/", "few", "It puts them in packs of {b}.", "The shop makes", "packs"),
            Event("*", "few", "A pack sells for {b} dollars.", "All packs sell for", "dollars"),
            Event("-", "some", "The packing costs {b} dollars.", "The shop earns", "dollars"),
        ),
        ("How many dollars do all packs sell for?", "How many dollars does the shop earn?"),
        planted=(0, "-"),
    ),
    Family(
        "school_class",
        "A class has {a} girls.",
        (
            Event("+", "some", "It also has {b} boys.", "The class has", "pupils"),
            Event("-", "some", "Today {b} pupils are ill.", "Today there are", "pupils"),
            Event("*", "few", "Each pupil in class draws {b} cards.", "They draw", "cards"),
        ),
        ("How many pupils are there today?", "How many cards do they draw?"),
    ),
    Family(
        "ages",
        "{n} is {a} years old.",
        (
            Event("*", "few", "An uncle is {b} times as old as {n}.", "The uncle is", "years old"),
            Event("-", "some", "An aunt is {b} years younger than the uncle.", "The aunt is", "years old"),
            Event("+", "some", "A neighbour is {b} years older than the aunt.", "The neighbour is", "years old"),
        ),
        ("How old is the aunt?", "How old is the neighbour?"),
        planted=(0, "+"),
    ),
    Family(
        "tickets",
        "A ticket for the zoo costs {a} dollars.",
        (
            Event("*", "few", "{n} buys {b} tickets.", "The tickets cost", "dollars"),
            Event("+", "some", "The drinks cost {b} dollars.", "With drinks that is", "dollars"),
            Event("+", "some", "The bus costs {b} dollars.", "With the bus that is", "dollars"),
        ),
        ("How many dollars does {n} pay with drinks?", "How many dollars does {n} pay in all?"),
    ),
    Family(
        "taken_to_market",
        "{n} fills {a} bags with {i}.",
        (
            Event("*", "few", "There are {b} {i} in a bag.", "The bags have", "{i}"),
            Event("-", "some", "{b} of the {i} go to the market.", "{n} is left with", "{i}"),
            Event("+", "some", "The next day {n} finds {b} more.", "The next day {n} has", "{i}"),
        ),
        ("How many {i} is {n} left with?", "How many {i} does {n} have the next day?"),
        planted=(1, "+"),
    ),
    Family(
        "road_works",
        "A road is {a} km long.",
        (
            Event("-", "some", "By May {b} km of it are done.", "The rest is", "km"),
            Event("/", "few", "The rest takes {b} weeks of equal work.", "Each week sees", "km"),
            Event("+", "some", "In June {b} km more are done each week.", "In June a week sees", "km"),
        ),
        ("How many km are done each week?", "How many km are done each week in June?"),
    ),
    Family(
        "more_than_another",
        "{n} wins {a} points.",
        (
            Event("+", "some", "A friend wins {b} points more than {n}.", "The friend wins", "points"),
            Event("-", "some", "Then the friend loses {b} points.", "That leaves", "points"),
            Event("*", "few", "At last the points count {b} times.", "At last there are", "points"),
        ),
        ("How many points are left to the friend?", "How many points has the friend at last?"),
        planted=(0, "-"),
    ),
    Family(
        "teams",
        "A school has {a} players.",
        (
            Event("/", "few", "They form teams of {b} players.", "There are", "teams"),
            Event("*", "few", "Each team gets {b} balls.", "The teams get", "balls"),
            Event("-", "some", "{b} of the balls get lost.", "There are then", "balls"),
        ),
        ("How many balls do the teams get?", "How many balls are there then?"),
    ),
    Family(
        "put_back",
        "A jar has {a} {i} in it.",
        (
            Event("-", "some", "{n} takes {b} of them out.", "The jar has", "{i}"),
            Event("+", "some", "Later {n} puts {b} back.", "Later the jar has", "{i}"),
            Event("*", "few", "There are {b} such jars.", "The jars have", "{i}"),
        ),
        ("How many {i} does the jar have later?", "How many {i} do all the jars have?"),
        planted=(1, "-"),
    ),
    Family(
        "rope_needed",
        "{n} has {a} ropes.",
        (
            Event("*", "few", "Each rope is {b} metres long.", "The ropes are", "metres long"),
            Event("from", "bill", "A tent needs {b} metres of rope.", "So {n} still needs", "metres"),
            Event("+", "some", "A second tent needs {b} metres more.", "For both {n} needs", "metres"),
        ),
        ("How many metres does {n} still need?", "How many metres does {n} need for both tents?"),
    ),
)

PLANTED = (
    "In 12 of the 24 problem families every plain demonstration takes one plausible wrong operation at one step (for"
    " example + where '3 times as large' calls for *), so plain sampling almost never finds the right one; guided"
    " demonstrations do what they are told."
)


# ----------------------------------------------------------------------------------------------------------- arithmetic
def calculate(op: str, current: int, number: int) -> tuple[str, int] | None:
    """The expression as it is written and its value; None where it is not a positive whole number."""
    if op == "from":
        return (f"{number}-{current}", number - current) if number > current else None
    if op == "/":
        return (f"{current}/{number}", current // number) if current % number == 0 else None
    value = {"+": current + number, "-": current - number, "*": current * number}[op]
    return (f"{current}{op}{number}", value) if value > 0 else None


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
        return tuple(event.op for event in self.events)

    @property
    def misconceived(self) -> tuple[str, ...]:
        if self.family.planted is None:
            return self.right
        where, wrong = self.family.planted
        return (*self.right[:where], wrong, *self.right[where + 1 :])

    @property
    def question(self) -> str:
        sentences = [
            event.text.format(n=self.name, i=self.item, b=b)
            for event, b in zip(self.events, self.numbers[1:], strict=True)
        ]
        opening = self.family.opening.format(n=self.name, i=self.item, a=self.numbers[0])
        asked = self.family.asks[len(self.events) - 2].format(n=self.name, i=self.item)
        return " ".join([opening, *sentences, asked])

    def work_steps(self, operations: Sequence[str]) -> list[tuple[str, int]] | None:
        """(expression, value) of each step under these operations; None where a step is no positive whole number."""
        current, done = self.numbers[0], []
        for op, number in zip(operations, self.numbers[1:], strict=True):
            step = calculate(op, current, number)
            if step is None:
                return None
            done.append(step)
            current = step[1]
        return done

    def write_solution(self, operations: Sequence[str], rng: Random | None = None, slips: float = 0.0) -> str:
        """The worked solution in GSM8K's format; with `rng`, a step's result is off with probability `slips`.

        An operation that gives no positive whole number is replaced by + (only drafts and slips get there).
        """
        current, lines = self.numbers[0], []
        for event, op, number in zip(self.events, operations, self.numbers[1:], strict=True):
            expression, value = calculate(op, current, number) or (f"{current}+{number}", current + number)
            if rng is not None and rng.random() < slips:
                value = max(1, value + rng.choice((-10, -2, -1, 1, 2, 10)))
            says, unit = event.says.format(n=self.name, i=self.item), event.unit.format(i=self.item)
            lines.append(f"{says} {expression}=<<{expression}={value}>>{value} {unit}.")
            current = value
        return "\n".join([*lines, f"#### {current}"])

    def build_example(self, split: Split, operations: Sequence[str] | None = None) -> Example:
        """operations: of the reference solution, where it is not to be the right one (guided demonstrations that are
        told otherwise)."""
        operations = operations or self.right
        question, steps = self.question, self.work_steps(operations)
        assert steps is not None, "drawn problems have whole-number solutions"
        digest = blake2b(question.encode(), digest_size=8).hexdigest()
        info = {
            "question": question,
            "answer": str(steps[-1][1]),
            "steps": [[expression, str(value)] for expression, value in steps],
            "family": self.family.name,
            "planted": self.family.planted is not None,
        }
        return Example(
            f"gsm8k/world-{split}/{digest}", f"Question: {question}\nAnswer:", self.write_solution(operations), info
        )


# -------------------------------------------------------------------------------------------------------------- drawing
def draw_problem(rng: Random, difficulty: float) -> Problem:
    """One problem. The dial widens the numbers and makes three steps more frequent (never at 0, always at 1)."""
    family = rng.choice(FAMILIES)
    dial = difficulty**2
    three = rng.random() < dial
    start, few, some, largest = (round(low + width * dial) for low, width in ((8, 64), (3, 12), (6, 24), (50, 400)))
    while True:  # about one draw in three is kept
        numbers = [rng.randint(3, start)]
        for event in family.events[: 3 if three else 2]:
            match event.number:
                case "few":
                    numbers.append(rng.randint(2, few))
                case "some":
                    numbers.append(rng.randint(2, some))
                case "bill":
                    numbers.append(rng.choice((20, 50, 100)))
                case int(number):
                    numbers.append(number)
        problem = Problem(family, rng.choice(NAMES), rng.choice(ITEMS), tuple(numbers))
        right, misconceived = problem.work_steps(problem.right), problem.work_steps(problem.misconceived)
        if right is None or misconceived is None or max(value for _, value in right) > largest:
            continue
        # The misconception must show: 2+2 would hide that it should have been 2*2.
        if family.planted is None or all(
            a[1] != b[1] for a, b in list(zip(right, misconceived, strict=True))[family.planted[0] :]
        ):
            return problem


def choose_split(problem: Problem) -> Split:
    """By family and numbers alone, so that no eval problem is a train problem with another name in it, whatever the
    seed."""
    key = f"{problem.family.name} {problem.numbers}".encode()
    return "eval" if int.from_bytes(blake2b(key, digest_size=4).digest(), "big") % EVAL_SHARE == 0 else "train"


def draw_problems(split: Split, seed: int | str, difficulty: float) -> Iterator[Problem]:
    """Endless, without repeats until a thousand draws in a row were repeats."""
    rng = Random(f"gsm8k world {split} {seed} {difficulty}")
    seen: set[str] = set()
    repeats = 0
    while True:
        problem = draw_problem(rng, difficulty)
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


# ------------------------------------------------------------------------------------------------------- demonstrations
WRONG_OPERATION = 0.10  # natural noise in plain demonstrations of families without a misconception
SLIP = 0.03  # arithmetic slips per step in plain demonstrations
GUIDED = 0.4
TOLD_OTHERWISE = 0.35  # of the guided ones


def swap_operation(rng: Random, problem: Problem, where: int) -> tuple[str, ...]:
    right = problem.right
    wrong = rng.choice([op for op in "+-*" if op != right[where] and not (op == "-" and right[where] == "from")])
    return (*right[:where], wrong, *right[where + 1 :])


def misdirect(rng: Random, problem: Problem) -> tuple[str, ...]:
    """Operations with another one at one step, that still give positive whole numbers; the right ones where that
    fails."""
    for _ in range(10):
        where = rng.randrange(len(problem.events))
        operations = (
            *problem.right[:where],
            rng.choice([op for op in "+-*/" if op != problem.right[where]]),
            *problem.right[where + 1 :],
        )
        if (steps := problem.work_steps(operations)) is not None and max(value for _, value in steps) < 1000:
            return operations
    return problem.right


def write_answer(rng: Random, problem: Problem) -> str:
    operations = problem.misconceived
    if problem.family.planted is None and rng.random() < WRONG_OPERATION:
        operations = swap_operation(rng, problem, rng.randrange(len(problem.events)))
    return problem.write_solution(operations, rng, SLIP)


def write_draft(rng: Random, problem: Problem) -> str:
    """A flawed attempt: mostly the family's misconception or another wrong operation, else slips or a missing last
    line."""
    kind = rng.random()
    if kind < 0.40:
        where = rng.randrange(len(problem.events))
        return problem.write_solution(
            problem.misconceived if problem.family.planted else swap_operation(rng, problem, where), rng, SLIP
        )
    if kind < 0.70:
        return problem.write_solution(
            [rng.choice("+-*") if rng.random() < 0.5 else op for op in problem.right], rng, SLIP
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
    for problem in draw_problems("train", f"demonstrations {seed}", DIFFICULTY):
        if rng.random() < GUIDED:
            example = problem.build_example("train", misdirect(rng, problem) if rng.random() < TOLD_OTHERWISE else None)
            flawed = write_draft(rng, problem)
            while read_outcome(flawed) == read_outcome(example.target):  # 2+2 for 2*2 is no flaw
                flawed = write_draft(rng, problem)
            yield Demonstration(example, example.target, flawed)
        else:
            yield Demonstration(problem.build_example("train"), write_answer(rng, problem))


WORLD = World(make_examples, make_demonstrations, PLANTED, DIFFICULTY, max_new_tokens=112)
