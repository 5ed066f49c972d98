import itertools
import os
from pathlib import Path

import pytest
from helpers.sums import WORDS, sentence, sums, task, write

from herl_bench.data.leakage import NGRAM, check_leakage
from herl_bench.data.sources import open_data
from herl_bench.errors import LeakageError
from herl_bench.plugins import load_host
from herl_bench.types import Example, Task, World


def test_a_training_item_equal_to_an_evaluation_item_stops(tmp_path):
    folder = write(tmp_path / "d", train=[f"item {i}" for i in range(50)], eval=["x", "  Item  7"])
    with pytest.raises(LeakageError, match=r"train/7 has the same prompt as evaluation item eval/1"):
        open_data(task(), folder, embedded=False)


def test_all_overlaps_are_told_at_once(tmp_path):
    folder = write(tmp_path / "d", train=[f"item {i}" for i in range(50)], eval=[f"Item {i}" for i in range(6)])
    said = (
        r"train/0 has .* item eval/0, and 5 more have one's \(train/1 that of eval/1, train/2 .*, train/3 that of"
        r" eval/3, …\)"
    )
    with pytest.raises(LeakageError, match=said):
        open_data(task(), folder, embedded=False)


def test_a_world_whose_splits_overlap_stops():
    broken = task()
    leaky = World(lambda split, seed, difficulty: sums("train", 0, 0), None, "")
    with pytest.raises(LeakageError, match="same prompt"):
        open_data(Task(**{**vars(broken), "world": leaky}), "synthetic", embedded=True)


def test_near_training_items_are_dropped_and_counted(tmp_path):
    known = sentence(1)
    near = " ".join(["now", *known.split()[1:]])
    folder = write(tmp_path / "d", train=[*(sentence(i) for i in range(100, 140)), near], eval=[known, sentence(2)])
    data = open_data(task(), folder, embedded=False)
    assert data.gate["dropped"] == data.gate["near"] == 1
    assert near not in {e.prompt for e in itertools.islice(data.train(), 100)}


def test_many_near_training_items_stop(tmp_path):
    train = [" ".join(["now", *sentence(i).split()[1:]]) for i in range(30)]
    folder = write(tmp_path / "d", train=train, eval=[sentence(i) for i in range(30)])
    with pytest.raises(LeakageError, match="30 of 30 training items nearly repeat"):
        open_data(task(), folder, embedded=False)


def test_boilerplate_is_not_an_overlap():
    preamble = " ".join(WORDS[: NGRAM * 4])
    make = lambda split, n: [Example(f"{split}/{i}", f"{preamble} {sentence(f'{split}{i}')}", "") for i in range(n)]  # noqa: E731
    gate = check_leakage(make("train", 30), make("eval", 5), endless=False)
    assert (gate.outcome["near"], len(gate.dropped)) == (0, 0)


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files")
@pytest.mark.parametrize(("name", "dropped"), [("gsm8k", 0), ("humaneval", 0), ("bbh", 13)])
def test_the_published_splits_pass_the_gate(name, dropped):
    data = open_data(load_host().get("task", name), os.environ["HERL_BENCH_DATA"], embedded=False, eval_items=20)
    assert data.gate["dropped"] <= dropped
    assert data.gate["train_checked"] > 400
    folder = Path(os.environ["HERL_BENCH_DATA"])
    assert data.fingerprint
    assert all((folder / name).is_file() for name in data.fingerprint)
