"""A task of sums with a world and files of its own: `read` reads `{split}.jsonl`."""

import itertools
import json
from random import Random

from herl_bench.types import Example, Task, World

WORDS = [a + b for a in "bcdfgklmnprst" for b in ("ade", "ill", "oon", "ute", "ent")]


def sums(split, seed, difficulty):
    rng = Random(f"{split}{seed}{difficulty}")
    for i in itertools.count():
        a, b = rng.randrange(500), rng.randrange(500) * 2 + (split == "eval")
        yield Example(f"synthetic/{split}/{i}", f"{a} + {b} =", str(a + b))


def read(directory, split):
    with (directory / f"{split}.jsonl").open() as file:
        for i, line in enumerate(file):
            row = json.loads(line)
            yield Example(f"{split}/{i}", row["q"], row["a"])


def unreachable(split):
    raise ConnectionError("no route to host\nsecond line")


def task(world=True, hub=unreachable):
    return Task(
        "sums",
        "sums",
        read,
        hub,
        {},
        lambda e: e.target,
        lambda e, r: r,
        "sums",
        "sums",
        (),
        World(sums, None, "") if world else None,
    )


def sentence(seed):
    return " ".join(Random(seed).choices(WORDS, k=40))


def write(folder, **splits):
    folder.mkdir(exist_ok=True)
    for split, prompts in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"q": q, "a": "1"}) + "\n" for q in prompts))
    return str(folder)
