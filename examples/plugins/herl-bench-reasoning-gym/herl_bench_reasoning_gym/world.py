"""Endless seeded examples from reasoning-gym, and the worked solutions that a policy is warm-started on.

Nothing is planted. Training and evaluation are kept apart by a hash of the problem's text: no seed, difficulty or
version changes the side of a problem. A problem is used if its worked solution can be judged: it is short, each of its
calculations can be read and is right, and its own answer gets full marks. That leaves about a fifth of `gsm_symbolic`
(20 of its 85 templates) and nearly all of the others.

Left out: drafts to revise. `herl-bench warmstart --set draft_steps=…` takes them from a policy's own failures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

from herl_bench import Demonstration, Example, Split, World

from .checks import read_steps, solved
from .families import FAMILIES, Entry, Family

EVAL_SHARE = 5  # one problem in five belongs to the eval split
LONGEST_QUESTION, LONGEST_SOLUTION = 300, 200  # characters
CHUNK = 500  # reasoning-gym's data sets have a fixed size; the next one gets a new seed


def choose_side(question: str) -> Split:
    digest = hashlib.sha256(" ".join(question.split()).encode()).digest()
    return "eval" if digest[0] % EVAL_SHARE == 0 else "train"


def _draw_entries(family: Family, split: Split, seed: int, difficulty: float) -> Iterator[Entry]:
    import reasoning_gym  # takes a second: only when problems are made

    rng = Random(f"{family.name}/{split}/{seed}/{difficulty}")
    while True:
        settings = family.config(difficulty)
        yield from reasoning_gym.create_dataset(family.name, seed=rng.getrandbits(31), size=CHUNK, **settings)


def _draw_examples(family: Family, split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    for number, entry in enumerate(_draw_entries(family, split, seed, difficulty)):
        question, solution = entry["question"].strip(), family.solve(entry)
        if choose_side(question) != split or len(question) > LONGEST_QUESTION or len(solution) > LONGEST_SOLUTION:
            continue
        # COPY: the id is unique in its split and stays the same from run to run. `family` makes the columns of the
        # breakdowns.
        info = {"family": family.name, "question": question, "solution": solution}
        id_ = f"reasoning_gym/{split}/{seed}/{difficulty:g}/{family.name}/{number}"
        example = Example(id_, f"{question}\nAnswer:\n", entry["answer"], info)
        steps = read_steps(solution)
        if (
            steps
            and len(steps) == solution.count("=")
            and all(step.right for step in steps)
            and solved(example, solution)
        ):
            yield example


def make_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """Endless; each family equally often. The same arguments give the same examples."""
    rng = Random(f"{split}/{seed}/{difficulty}")
    streams = [_draw_examples(family, split, seed, difficulty) for family in FAMILIES]
    while True:
        yield next(rng.choice(streams))


def make_demonstrations(seed: int) -> Iterator[Demonstration]:
    """The worked solutions of training problems, at the default difficulty."""
    for example in make_examples("train", seed, DIFFICULTY):
        yield Demonstration(example, example.info["solution"])


DIFFICULTY = 0.3
WORLD = World(make_examples, make_demonstrations, planted="", difficulty=DIFFICULTY, max_new_tokens=128)
