import dataclasses
import hashlib
import itertools

import pytest
from helpers.sums import read, sentence, task, write

from herl_bench.data.examples import digest_items
from herl_bench.data.sources import open_data, open_eval, restrict_problems, select_items
from herl_bench.errors import DataError, UsageError
from herl_bench.plugins import load_host
from herl_bench.types import Example


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
    ids = [int(e.id) for e in select_items(items, 10)]
    assert ids == sorted(ids)
    assert select_items(items, None) == tuple(items)


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


def list_files(directory, split):
    return [directory / f"{split}.jsonl"]


def test_the_files_that_a_task_names_are_fingerprinted_else_its_items(tmp_path):
    folder = write(tmp_path / "d", train=["a"], eval=["b"], other=["c"])
    digests = {
        f"{s}.jsonl": hashlib.sha256((tmp_path / "d" / f"{s}.jsonl").read_bytes()).hexdigest()
        for s in ("train", "eval")
    }
    named = dataclasses.replace(task(), files=list_files)
    assert open_data(named, folder, embedded=False).fingerprint == digests
    assert open_eval(named, folder, embedded=False).fingerprint == {"eval.jsonl": digests["eval.jsonl"]}
    unnamed = {split: digest_items(read(tmp_path / "d", split)) for split in ("train", "eval")}
    assert open_data(task(), folder, embedded=False).fingerprint == unnamed


def test_a_file_that_a_task_names_and_has_not_is_one_line(tmp_path):
    folder = write(tmp_path / "d", train=["a"], eval=["b"])
    broken = dataclasses.replace(task(), files=lambda directory, split: [directory / "gone"])
    with pytest.raises(DataError, match=r"sums \(eval\): Task.files names .*gone: No such file"):
        open_data(broken, folder, embedded=False)


def test_a_world_is_fingerprinted_by_its_items():
    first, second = (open_data(task(), "synthetic", embedded=True, difficulty=d).fingerprint for d in (0.1, 0.2))
    assert set(first) == {"eval"}
    assert first != second


def test_items_without_files_are_fingerprinted_themselves():
    def hub(split):
        return [Example(f"{split}/{i}", sentence(f"{split}{i}"), "1") for i in range(30)]

    data = open_data(task(hub=hub), "hub", embedded=False)
    assert data.fingerprint == {"train": digest_items(hub("train")), "eval": digest_items(hub("eval"))}
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


def test_bad_numbers_are_usage_errors():
    with pytest.raises(UsageError, match="at least 1"):
        open_data(task(), "synthetic", embedded=True, eval_items=0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        open_data(task(), "synthetic", embedded=True, difficulty=2)


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
        data = open_data(restrict_problems(whole, problems), embedded=True, eval_items=20)
        seen = [*data.eval, *itertools.islice(data.train(), 20)]
        assert {e.info["planted"] for e in seen} == {problems == "planted"}
        assert len(data.eval) == 20
    assert restrict_problems(whole, None) is whole
    with pytest.raises(UsageError, match="problems=plain: sums has no synthetic world with planted misconceptions"):
        restrict_problems(task(), "plain")
