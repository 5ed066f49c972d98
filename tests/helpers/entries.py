"""Leaderboard entries of real runs, and what a forger does to them."""

import hashlib
import json
import os
import shutil

from helpers.commands import run_command
from herl_bench.comparison.finished_runs import Evaluation, FinishedRun, Sample
from herl_bench.comparison.schema import Item
from herl_bench.leaderboard.entries import describe_run

SMALL = ["rollouts_per_step=16", "max_new_tokens=8", "save_steps=2", "eval_items=8", "learning_rate=1e-3"]


def verify(entry):
    done = run_command("leaderboard", "verify", entry, "--jobs", 1, "--format", "json", cwd=entry.parent)
    said = json.loads(done.stdout)
    assert done.returncode == bool(said["problems"]), done.stderr
    return said["problems"]


def edit(path, change):
    """Let `change` edit every row of a JSONL file, or the object of a JSON file, in place."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            change(row)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said, ensure_ascii=False))


def rehash(entry, name):
    """What a forger does who knows of the hashes."""
    digest = hashlib.sha256((entry / name).read_bytes()).hexdigest()
    edit(entry / "bundle.json", lambda said: said["files"].update({name: digest}))


def only(entry, pattern):
    (path,) = (entry / "eval" / "after").glob(pattern)
    return path, str(path.relative_to(entry))


def right(row):
    """The answer that would have been right, without touching what is said of it."""
    row["resps"] = [[row["target"]]]
    row["filtered_resps"] = [row["target"]]


def easier(row):
    """Declares a response right by changing what is asked for, with lm-eval's hashes made anew."""
    row["target"] = row["doc"]["target"] = "#### 1"
    row["target_hash"] = hashlib.sha256(b"#### 1").hexdigest()
    row["doc_hash"] = hashlib.sha256(json.dumps(row["doc"], indent=2, ensure_ascii=False).encode()).hexdigest()


def in_rows(change):
    """change: edits the file's rows, as a list."""

    def tamper(entry):
        path, _ = only(entry, "samples_*.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in change(rows) or rows))

    return tamper


def in_results(change):
    return lambda entry: edit(
        only(entry, "results_*.json")[0], lambda said: change(said, said["herl_bench"]["summary"]["gsm8k"])
    )


def in_file(name, change):
    return lambda entry: edit(entry / name, change)


def a_run(method, seed, right, items=100, source="synthetic"):
    """A finished run that got so many items right."""
    samples = tuple(
        Sample(Item(str(i), "prompt", "target"), "response", float((i * 7 + seed) % items < right), None, {}, "")
        for i in range(items)
    )
    scored = Evaluation({"metrics": {"exact_match,none": {"value": right / items}}}, samples, {})
    last = {"tokens": 1000, "rollouts": 10, "reward_calls": 10, "optimizer_steps": 5, "seconds": {"all": 1.0}}
    settings = {
        "task": "gsm8k",
        "method": method,
        "seed": seed,
        "model": "tiny",
        "budget": 1000,
        "data": source,
        "set": {},
    }
    manifest = {"data": {"source": source, "sha256": {}}, "base_model": {"sha256": "0" * 64, "parameters": 10}}
    return describe_run(
        FinishedRun(f"{method}-{seed}", settings, manifest, "exact_match,none", True, (last,), scored, scored)
    )


def config(old, new):
    def tamper(entry):
        path = entry / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return tamper


def rows_of(name, change):
    """change: the lines of a file, to other lines."""

    def tamper(entry):
        path = entry / name
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return tamper


def endless(entry):
    """A pattern that takes longer than anybody waits, and a rubric that has it; bundled with every hash."""
    config("rubric: gsm8k", "rubric: mine.yaml")(entry)
    check = "{name: a, text: A., check: regex, with: {pattern: '^(?:(?:\\S|\\s|.)+)+\\x00$'}}"
    (entry / "rubric.yaml").write_text(f"name: mine\ncriteria:\n  - {check}\n")


def huge(entry):
    with open(entry / "eval" / "after" / "samples_gsm8k_2020.jsonl", "wb") as file:
        file.truncate(3 << 30)
    only(entry, "samples_gsm8k_2*T*.jsonl")[0].unlink()


def instead(name, make):
    def tamper(entry):
        (entry / name).unlink()
        make(entry / name)

    return tamper


BAD_ENTRIES = {
    "a date that is none": config("seed: 0", "seed: 2023-13-45"),
    "a date": config("seed: 0", "seed: 2023-12-05"),
    "a boolean that is none": config("seed: 0", "seed: !!bool abc"),
    "an integer that is none": config("seed: 0", "seed: !!int abc"),
    "another language's object": config("seed: 0", "seed: !!python/object/apply:os.system [exit]"),
    "a seed of text": config("seed: 0", "seed: first"),
    "a seed of 5,000 digits": config("seed: 0", f"seed: {'7' * 5000}"),
    "deep YAML": config("seed: 0", f"seed: {'[' * 20_000}"),
    "names within names": config(
        "seed: 0",
        "seed: 0\n" + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else ['x'])}]" for i in range(12)),
    ),
    "no budget": config("budget: 400", "budget: plenty"),
    "a task of nobody's": config("task: gsm8k", "task: nobodys"),
    "a mapping for a task": config("task: gsm8k", "task: {a: b}"),
    "settings that are a list": config("set:\n", "set: [1, 2]\nmore:\n"),
    "deep JSON": lambda entry: (entry / "manifest.json").write_text('{"data": ' + "[" * 100_000),
    "a list for a manifest": lambda entry: (entry / "manifest.json").write_text("[]"),
    "NaN tokens of a response": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('"response_tokens": 8.0', '"response_tokens": NaN'), *rows[1:]]
    ),
    "endless tokens of a response": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('"response_tokens": 8.0', '"response_tokens": 1e999'), *rows[1:]]
    ),
    "many tokens of a response": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('"response_tokens": 8.0', '"response_tokens": 1e9'), *rows[1:]]
    ),
    "tokens in a text": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('"response_tokens": 8.0', '"response_tokens": "8"'), *rows[1:]]
    ),
    "null tokens of a response": rows_of(
        "metrics.jsonl",
        lambda rows: [*rows[:-1], rows[-1].replace('"response_tokens": 8.0', '"response_tokens": null')],
    ),
    "no tokens of a response": rows_of(
        "metrics.jsonl", lambda rows: [*rows[:-1], rows[-1].replace('"response_tokens"', '"more_tokens"')]
    ),
    "a step twice": rows_of("metrics.jsonl", lambda rows: [*rows, rows[-1]]),
    "a step less": rows_of("metrics.jsonl", lambda rows: rows[1:]),
    "steps in another order": rows_of("metrics.jsonl", lambda rows: rows[::-1]),
    "no steps": rows_of("metrics.jsonl", lambda rows: []),
    "tokens that fall": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('"tokens": ', '"tokens": 1000'), *rows[1:]]
    ),
    "a key twice": rows_of(
        "metrics.jsonl", lambda rows: [rows[0].replace('{"step": 1', '{"step": 1, "tokens": 5'), *rows[1:]]
    ),
    "NUL bytes": lambda entry: (entry / "metrics.jsonl").write_bytes(bytes(4096)),
    "a pattern that never ends": endless,
    "a huge file": huge,
    "a pipe for a log": instead("metrics.jsonl", os.mkfifo),
    "a device for a log": instead("metrics.jsonl", lambda path: path.symlink_to("/dev/zero")),
    "a folder for a log": instead("metrics.jsonl", os.mkdir),
    "links in a circle": lambda entry: (entry / "eval" / "again").symlink_to(".."),
    "an unfinished run": lambda entry: shutil.rmtree(entry / "eval" / "after"),
    "no claims": lambda entry: (entry / "bundle.json").write_text("{"),
    "claims of NaN": (
        lambda entry: (entry / "bundle.json").write_text('{"format": 1, "entry": {"seed": NaN}, "files": {}}')
    ),
    "a copy": lambda entry: None,
}
