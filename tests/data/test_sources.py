import dataclasses
import hashlib
import itertools
import json
import os
from pathlib import Path
from random import Random

import pytest

from herl_bench.data.sources import NGRAM, check_leakage, items_digest, narrowed, open_data, open_eval, select
from herl_bench.errors import DataError, LeakageError, UsageError
from herl_bench.plugins import load_host
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


def test_training_stream_resumes_at_any_position(tmp_path):
    folder = write(tmp_path / "d", train=[f"item {i}" for i in range(7)], eval=["other"])
    for source in (folder, "synthetic"):
        data = open_data(task(), source, embedded=False, seed=3)
        whole = [e.prompt for e in itertools.islice(data.train(), 30)]
        assert [e.prompt for e in itertools.islice(data.train(11), 19)] == whole[11:]
        other = open_data(task(), source, embedded=False, seed=4)
        assert whole != [e.prompt for e in itertools.islice(other.train(), 30)]
    finite = [e.id for e in itertools.islice(open_data(task(), folder, embedded=False, seed=3).train(), 14)]
    assert sorted(finite[:7]) == sorted(finite[7:])
    assert finite[:7] != finite[7:]


def test_evaluation_items_do_not_depend_on_the_training_seed(tmp_path):
    folder = write(tmp_path / "d", train=["a"], eval=[f"item {i}" for i in range(50)])
    for source in (folder, "synthetic"):
        small, large = (
            open_data(task(), source, embedded=False, seed=s, eval_items=n).eval for s, n in ((1, 10), (2, 20))
        )
        assert len(small) == 10
        assert {e.id for e in small} <= {e.id for e in large}
        assert open_eval(task(), source, embedded=False, eval_items=10).eval == small


def test_a_selection_keeps_the_order_and_none_takes_all():
    items = [Example(str(i), str(i), "") for i in range(100)]
    ids = [int(e.id) for e in select(items, 10)]
    assert ids == sorted(ids)
    assert select(items, None) == tuple(items)


def test_auto_takes_the_world_for_the_embedded_policy_else_the_named_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HERL_BENCH_DATA", write(tmp_path / "d", train=["a"], eval=["b"]))
    assert open_data(task(), embedded=True).source == "synthetic"
    assert open_data(task(), embedded=False).source == str(tmp_path / "d")
    monkeypatch.delenv("HERL_BENCH_DATA")
    with pytest.raises(
        DataError, match=r"cannot be read from the hub \(ConnectionError: no route to host\): set HERL_BENCH_DATA"
    ):
        open_data(task(), embedded=False)
    with pytest.raises(DataError, match="no synthetic world"):
        open_data(task(world=False), "synthetic", embedded=True)


def test_files_that_were_read_are_fingerprinted(tmp_path):
    folder = write(tmp_path / "d", train=["a"], eval=["b"], other=["c"])
    digests = {
        f"{s}.jsonl": hashlib.sha256((tmp_path / "d" / f"{s}.jsonl").read_bytes()).hexdigest()
        for s in ("train", "eval")
    }
    assert open_data(task(), folder, embedded=False).fingerprint == digests
    first, second = (open_data(task(), "synthetic", embedded=True, difficulty=d).fingerprint for d in (0.1, 0.2))
    assert set(first) == {"eval"}
    assert first != second


def test_items_without_files_are_fingerprinted_themselves():
    def hub(split):
        return [Example(f"{split}/{i}", sentence(f"{split}{i}"), "1") for i in range(30)]

    data = open_data(task(hub=hub), "hub", embedded=False)
    assert data.fingerprint == {"train": items_digest(hub("train")), "eval": items_digest(hub("eval"))}
    assert (data.source, len(data.eval)) == ("hub", 30)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "gone", "no data folder"),
        (lambda p: (p / "f").touch() or p / "f", "is a file"),
        (lambda p: (p / "e").mkdir() or p / "e", "is empty"),
        (lambda p: write(p / "d", train=["a"]), "eval.jsonl: No such file"),
        (lambda p: write(p / "d", train=[], eval=["a"]), r"sums \(train\): no items"),
    ],
)
def test_bad_folders_are_named(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        open_data(task(), str(make(tmp_path)), embedded=False)


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
    gate, _, dropped = check_leakage(make("train", 30), make("eval", 5), endless=False)
    assert (gate["near"], len(dropped)) == (0, 0)


def test_bad_numbers_are_usage_errors():
    with pytest.raises(UsageError, match="at least 1"):
        open_data(task(), "synthetic", embedded=True, eval_items=0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        open_data(task(), "synthetic", embedded=True, difficulty=2)


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files")
@pytest.mark.parametrize(("name", "dropped"), [("gsm8k", 0), ("humaneval", 0), ("bbh", 13)])
def test_the_published_splits_pass_the_gate(name, dropped):
    data = open_data(load_host().get("task", name), os.environ["HERL_BENCH_DATA"], embedded=False, eval_items=20)
    assert data.gate["dropped"] <= dropped
    assert data.gate["train_checked"] > 400
    folder = Path(os.environ["HERL_BENCH_DATA"])
    assert data.fingerprint
    assert all((folder / name).is_file() for name in data.fingerprint)


def test_a_task_that_is_nothing_but_its_world(tmp_path, monkeypatch):
    alone = dataclasses.replace(task(), read=None, hub=None)
    write(tmp_path / "d", train=["a"], eval=["b"])
    monkeypatch.setenv("HERL_BENCH_DATA", str(tmp_path / "d"))
    assert open_data(alone, embedded=False).source == "synthetic"
    assert open_eval(task(), embedded=False).eval[0].prompt == "b"
    with pytest.raises(DataError, match="'sums' reads no files: pass --data synthetic"):
        open_data(alone, str(tmp_path / "d"), embedded=False)
    with pytest.raises(DataError, match="'sums' is on no hub: pass --data synthetic"):
        open_eval(alone, "hub", embedded=False)


def test_a_world_may_be_narrowed_to_its_plain_or_planted_problems():
    whole = load_host().get("task", "gsm8k")
    for problems in ("plain", "planted"):
        data = open_data(narrowed(whole, problems), embedded=True, eval_items=20)
        seen = [*data.eval, *itertools.islice(data.train(), 20)]
        assert {e.info["planted"] for e in seen} == {problems == "planted"}
        assert len(data.eval) == 20
    assert narrowed(whole, None) is whole
    with pytest.raises(UsageError, match="problems=plain: sums has no synthetic world with planted misconceptions"):
        narrowed(task(), "plain")
