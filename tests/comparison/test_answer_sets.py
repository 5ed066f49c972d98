"""Pairing sets of answers that nobody trained for: our own, lm-eval's samples, inspect's logs."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers.evaluations import write_evaluation

from herl_bench.cli.compare import command
from herl_bench.comparison.schema import Comparison, from_json
from herl_bench.comparison.statistics import items_interval, mcnemar
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.tally import sum_up
from herl_bench.plugins import load_host
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.types import Environment

ITEMS = 40


def lm_eval(
    folder: Path,
    right: Callable[[int], Any],
    *,
    items: int = ITEMS,
    metric: str = "exact_match",
    name: str = "model",
    doc: str = "How many?",
) -> Path:
    """lm-eval's own two files, with an item per question and a row per filter. right: the metric of an item."""
    folder.mkdir(parents=True)
    rows = [
        {
            "doc_id": i,
            "doc": {"question": f"{doc} Number {i:03}, a long one", "answer": f"#### {i}"},
            "target": f"#### {i}",
            "doc_hash": f"{doc}{i}",
            "arguments": {"gen_args_0": {"arg_0": f"Question: {doc} Number {i:03}, a long one", "arg_1": {}}},
            "resps": [["text"]],
            "filtered_resps": ["text"],
            "filter": kept,
            "metrics": [metric],
            metric: right(i),
        }
        for i in range(items)
        for kept in ("strict-match", "flexible-extract")
    ]
    (folder / "samples_sums_2026-01-02T03-04-05.678901.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    said = {"results": {"sums": {}}, "model_name": name, "higher_is_better": {"sums": {metric: True}}, "config": {}}
    (folder / "results_2026-01-02T03-04-05.678901.json").write_text(json.dumps(said))
    return folder


def inspect_log(path: Path, right: Callable[[int], Any], *, epochs: int = 1, model: str = "a/model") -> Path:
    samples = [
        {
            "id": f"q{i}",
            "epoch": epoch,
            "input": f"How many are there in number {i}?",
            "target": str(i),
            "output": {"completion": "text"},
            "scores": {"match": {"value": right(i)}},
        }
        for i in range(ITEMS)
        for epoch in range(1, epochs + 1)
    ]
    header = {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "model": model, "dataset": {"name": "numbers"}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({**header, "samples": samples}))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps(header))
            for sample in samples:
                archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return path


def ours(folder: Path, right: Callable[[int], bool], n: int = 1) -> Path:
    """What herl-bench eval --log_samples writes: gsm8k's own examples with gold answers, or nonsense."""
    host = load_host()
    task = host.get("task", "gsm8k")
    rubric, metrics = host.get("rubric", task.rubric), [host.get("metric", name) for name in task.metrics]
    examples = [e for e, _ in zip(task.world.examples("eval", 0, 0.5), range(ITEMS), strict=False)]
    asked = [(i, e, k) for i, e in enumerate(examples) for k in range(n)]
    texts = [task.gold(e) if right(i) else "no idea" for i, e, _ in asked]
    rows = judge_responses(
        Environment(task, rubric, NO_TEMPLATE, metrics),
        [e for _, e, _ in asked],
        texts,
        doc_ids=[i for i, _, _ in asked],
        samples=[k for _, _, k in asked],
    )
    evaluation = Evaluation(tuple(rows), sum_up(rows, rubric, metrics), ResolvedSampling(n=n))
    write_evaluation(evaluation, folder, Environment(task, rubric, NO_TEMPLATE, metrics), model_name=folder.name)
    return folder


def compare(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(command, list(map(str, words)), obj=load_host(), standalone_mode=False)
    return (1, str(done.exception)) if done.exception else (int(done.return_value or 0), done.output)


def compared(*words: Any) -> Comparison:
    code, output = compare(*words, "--format", "json")
    assert code == 0, output
    return from_json(output)


def test_two_files_of_lm_eval_are_paired_with_mcnemar(tmp_path: Path):
    a, b = (
        lm_eval(tmp_path / "a", lambda i: float(i < 10), name="small"),
        lm_eval(tmp_path / "b", lambda i: float(2 <= i < 26), name="large"),
    )
    done = compared(a, b)
    (contrast,) = done.contrasts
    assert (contrast.seed_tests[0].fixed, contrast.seed_tests[0].broken) == (16, 2)
    assert contrast.p == pytest.approx(mcnemar(16, 2))
    assert contrast.difference.value == pytest.approx(14 / ITEMS)
    assert contrast.verdict.word == "better"
    assert "large is better than small on sums: +0.350, 95 % interval over items" in contrast.verdict.sentence
    assert "(40 items, one sample of each; p = 0.001)" in contrast.verdict.sentence
    assert "what another training seed would give, they cannot tell" in contrast.verdict.sentence
    assert any("paired by doc_hash" in note for note in done.notes)
    assert {(f.item, f.fixed) for f in contrast.flips} == {(i, i >= 10) for i in (*range(2), *range(10, 26))}
    files = [next(folder.glob("samples_*")) for folder in (a, b)]
    assert compared(*files).contrasts == done.contrasts
    assert compared(*files, "--baseline", "large").contrasts[0].difference.value == pytest.approx(-14 / ITEMS)


def test_what_few_items_cannot_tell_is_said_with_how_many_could(tmp_path: Path):
    a, b = lm_eval(tmp_path / "a", lambda i: float(i < 20)), lm_eval(tmp_path / "b", lambda i: float(i < 22))
    done = compared(a, b)
    assert [arm.name for arm in done.arms] == [str(a), str(b)]  # the models have one name
    (contrast,) = done.contrasts
    assert contrast.verdict.word == "not enough items"
    assert "finding one of 0.05 takes about" in contrast.verdict.sentence
    same = compared(a, lm_eval(tmp_path / "c", lambda i: float(i < 20))).contrasts[0]
    assert same.difference.low == pytest.approx(-(1 - 0.05 ** (1 / ITEMS)))  # equal on every item is no proof of equal
    assert same.verdict.word == "not enough items"


def test_undecided_items_are_wrong_and_said_in_the_verdict(tmp_path: Path):
    """lm-eval writes NaN, or null, where a metric has no value."""
    a, b = (
        lm_eval(tmp_path / "a", lambda i: float(i < 20), name="a"),
        lm_eval(tmp_path / "b", lambda i: 1.0 if i < 20 else float("nan"), name="b"),
    )
    done = compared(a, b)
    (contrast,) = done.contrasts
    assert (contrast.difference.value, contrast.items) == (0.0, ITEMS)
    assert contrast.verdict.sentence.endswith("20 of 40 answers of b could not be decided and count as wrong.")
    assert {s.arm: (s.score.value, s.undecided) for s in done.arm_scores} == {"a": (0.5, 0), "b": (0.5, 20)}
    code, shown = compare(a, b)
    assert (code, "20 of 40 undecided" in shown) == (0, True)


@pytest.mark.parametrize("suffix", [".json", ".eval"])
def test_inspect_logs_are_paired_over_epochs(tmp_path: Path, suffix: str):
    a = inspect_log(tmp_path / f"a{suffix}", lambda i: "C" if i < 10 else "I", epochs=3, model="a")
    b = inspect_log(tmp_path / f"b{suffix}", lambda i: ["I", "P", 1, True][i % 4], epochs=3, model="b")
    done = compared(a, b)
    assert {s.arm: s.score.value for s in done.arm_scores} == pytest.approx({"a": 0.25, "b": 0.625})
    assert "3 samples of each" in done.contrasts[0].verdict.sentence


def test_ours_with_repeats_against_ours(tmp_path: Path):
    a, b = ours(tmp_path / "a", lambda i: i < 10, n=2), ours(tmp_path / "b", lambda i: i < 30)
    done = compared(a, b, "--metric", "robust_match")
    assert {s.arm: s.score.value for s in done.arm_scores} == {"a": 0.25, "b": 0.75}
    assert done.contrasts[0].verdict.word == "better"
    assert "1 to 2 samples of each" in done.contrasts[0].verdict.sentence
    assert "final_answer" in {c.criterion for c in done.contrasts[0].criteria if c.verdict == "fixed"}


def test_seeds_in_one_folder_are_samples_of_each_item(tmp_path: Path):
    a = lm_eval(tmp_path / "a", lambda i: float(i < 10), name="a")
    for kind in ("results", "samples_sums"):
        (old,) = a.glob(f"{kind}_*")
        text = (
            old.read_text()
            .replace('"config": {}', '"config": {"random_seed": 7}')
            .replace('"exact_match": 1.0', '"exact_match": 0.0')
        )
        old.with_name(old.name.replace("2026-01-02", "2026-01-03")).write_text(text)
    done = compared(a, lm_eval(tmp_path / "b", lambda i: float(i < 10), name="b"))
    assert {s.arm: (s.score.value, s.responses) for s in done.arm_scores} == {"a": (0.125, 80), "b": (0.25, 40)}


def test_a_page_is_made_of_it(tmp_path: Path):
    a, b = (
        lm_eval(tmp_path / "a", lambda i: float(i < 9), name="a"),
        lm_eval(tmp_path / "b", lambda i: float(i < 20), name="b"),
    )
    code, _ = compare(a, b, "-o", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert code == 0
    assert "b is better than a on sums" in page
    assert 'id="budget"' not in page


@pytest.mark.parametrize(
    ("other", "words", "told"),
    [
        (
            lambda p: lm_eval(p, float, items=30),
            [],
            "not the same items: 30 are in all by doc_hash (a has 40; model has 30)",
        ),
        (
            lambda p: lm_eval(p, float, doc="How few?"),
            [],
            "40 of 40 items have the same doc_id and are other questions",
        ),
        (lambda p: lm_eval(p, float, metric="acc"), [], "which metric? a has exact_match,strict-match"),
        (
            lambda p: lm_eval(p, float),
            ["--metric", "exact_match"],
            "stands for exact_match,strict-match and exact_match,flexible-extract",
        ),
        (lambda p: lm_eval(p, float), ["--metric", "exact_mach,strict-match"], "did you mean exact_match,strict-match"),
        (lambda p: lm_eval(p, float), ["--metric", "a"] * 3, "was given 3 times for 2 sets"),
        (lambda p: p, [], "no such file or folder"),
        (lambda p: p.mkdir() or p, [], "neither a run nor answers"),
        (
            lambda p: inspect_log(p / "x.json", lambda i: "C"),
            ["--metric", "exact_match,strict-match", "--metric", "match"],
            "no kind of key in common",
        ),
    ],
)
def test_what_cannot_be_paired_is_one_line(tmp_path: Path, other: Any, words: list[str], told: str):
    code, said = compare(lm_eval(tmp_path / "a", float, name="a"), other(tmp_path / "b"), *words)
    assert (code, told in said) == (1, True), said
    assert "\n" not in said


def broken(folder: Path, change: Callable[[list[str]], list[str]]) -> Path:
    (path,) = lm_eval(folder, float).glob("samples_*")
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    return folder


BROKEN: dict[str, Any] = {
    "a row twice": lambda p: broken(p, lambda rows: [*rows, rows[0]]),
    "no rows": lambda p: broken(p, lambda rows: []),
    "a torn row": lambda p: broken(p, lambda rows: [*rows, rows[0][:40]]),
    "rows of another kind": lambda p: broken(p, lambda rows: ["[1]\n"]),
    "no metric": lambda p: broken(
        p, lambda rows: [row.replace('"metrics": ["exact_match"]', '"metrics": []') for row in rows]
    ),
    "words for numbers": lambda p: broken(
        p, lambda rows: [row.replace('"exact_match": ', '"exact_match": "x", "y": ') for row in rows]
    ),
    "deep": lambda p: broken(p, lambda rows: ["[" * 100_000]),
    "a pipe": lambda p: broken(p, lambda rows: rows) and (os.mkfifo(p / "results_2027-01-01T00-00-00.json") or p),
    "an unfinished log": lambda p: _changed(p, '"success"', '"error"'),
    "a log without samples": lambda p: _changed(p, '"samples": [', '"samples": [], "x": ['),
    "an epoch twice": lambda p: _changed(p, '"q1"', '"q0"'),
    "a log of another shape": lambda p: _changed(p, '"scores": {', '"scores": [], "x": {'),
    "no zip": lambda p: _written(p / "x.eval", b"PK no zip"),
    "a damaged zip": lambda p: _damaged(inspect_log(p / "x.eval", lambda i: "C")),
    "a zip that unfolds without end": lambda p: _swollen(inspect_log(p / "x.eval", lambda i: "C")),
    "words for our numbers": lambda p: _renamed(
        ours(p, lambda i: True), '"robust_match,numeric": 1.0', '"robust_match,numeric": "1"'
    ),
    "a zip without header": lambda p: _written(p / "x.eval", b"PK\x05\x06" + bytes(18)),
    "results alone": lambda p: broken(p, lambda rows: rows) and (next(p.glob("samples_*")).unlink() or p),
}


def _changed(folder: Path, old: str, new: str) -> Path:
    path = inspect_log(folder / "x.json", lambda i: "C")
    path.write_text(path.read_text().replace(old, new))
    return folder


def _damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[60:70] = bytes(10)  # in the first part's packed bytes
    path.write_bytes(data)
    return path


def _swollen(path: Path) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/bomb_epoch_1.json", b'"' + b"a" * (20 << 20) + b'"')
    return path


def _renamed(folder: Path, old: str, new: str) -> Path:
    path = next(folder.glob("samples_*"))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return folder


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_line(tmp_path: Path, what: str):
    sound = lm_eval(tmp_path / "a", float)
    code, said = compare(sound, BROKEN[what](tmp_path / "b"))
    assert code == 1, said
    assert said.startswith(str(tmp_path / "b")), said
    assert len(said) < 400
    assert said.isprintable()


def test_the_interval_over_items_is_students_and_p_exact():
    a, b = [0.0] * 10, [1.0] * 3 + [0.0] * 7
    found = items_interval(a, b)
    assert (found.value, found.p) == (pytest.approx(0.3), pytest.approx(0.25))
    assert (found.low, found.high) == (pytest.approx(-0.0456, abs=1e-4), pytest.approx(0.6456, abs=1e-4))
    assert items_interval([0.1, 0.2, 0.3], [0.4, 0.2, 0.5]).p == pytest.approx(
        1 - 1.88982 / (2 + 1.88982**2) ** 0.5, abs=1e-4
    )  # t of 2 degrees
    assert replace(found).stderr == pytest.approx(0.1528, abs=1e-4)
