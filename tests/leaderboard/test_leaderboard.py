"""`herl-bench leaderboard` on real runs: ranking, and every kind of tampering with an entry."""

import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal

import numpy as np
import pytest
from helpers.browser import needs_chromium, visit
from helpers.commands import run_command

from herl_bench.cli.leaderboard import _judge, _show
from herl_bench.compare.finished_runs import Evaluation, FinishedRun, Sample
from herl_bench.compare.schema import Item
from herl_bench.errors import UsageError
from herl_bench.leaderboard.bundle import verify as verify_bundle
from herl_bench.leaderboard.bundle import verify_apart
from herl_bench.leaderboard.ranking import build, cells, entries_of, of_run, rank, to_csv, to_html, to_json, to_markdown
from herl_bench.plugins import load_host
from herl_bench.testing import tiny_checkpoint

SMALL = ["rollouts_per_step=16", "max_new_tokens=8", "save_steps=2", "eval_items=8", "learning_rate=1e-3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """`runs/` with a run of each method, `entries/` with a bundle of each."""
    cwd = tmp_path_factory.mktemp("leaderboard")
    model = tiny_checkpoint(cwd / "llama")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    for method in ("ppo", "herl"):
        done = run_command(
            "run",
            "--task",
            "gsm8k",
            "--method",
            method,
            "--model",
            model,
            "--data",
            "synthetic",
            "--budget",
            "400",
            *settings,
            cwd=cwd,
        )
        assert done.returncode == 0, done.stderr
        made = run_command("leaderboard", "bundle", f"runs/gsm8k-{method}-s0", "-o", f"entries/{method}", cwd=cwd)
        assert made.returncode == 0, made.stderr
    return cwd


@pytest.fixture
def entry(place, tmp_path):
    return shutil.copytree(place / "entries" / "herl", tmp_path / "entry")


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


def test_an_untouched_entry_is_verified(entry):
    assert verify(entry) == []


@pytest.mark.parametrize("hashed", [False, True])
def test_a_changed_response_is_named(entry, hashed):
    path, name = only(entry, "samples_*.jsonl")
    edit(path, right)
    if hashed:
        rehash(entry, name)
    problems = verify(entry)
    assert (f"{name}: changed since it was bundled (sha256 differs)" in problems) == (not hashed)
    assert any(line.startswith(f"{name}: gsm8k/") and "re-scored 1.0" in line for line in problems)


def test_a_changed_score_of_a_response_is_named_although_hashed(entry):
    path, name = only(entry, "samples_*.jsonl")

    def better(row):
        if "herl_bench" in row:
            said = row["herl_bench"]["responses"][0]
            said["metrics"] = dict.fromkeys(said["metrics"], 1.0)

    edit(path, better)
    rehash(entry, name)
    assert any("is 1.0, re-scored 0.0" in line for line in verify(entry))


def test_a_changed_number_is_named_although_hashed_and_claimed(entry):
    path, name = only(entry, "results_*.json")
    key = "exact_match,strict-match"

    def better(said):
        said["results"]["gsm8k"][key] = 0.9
        said["herl_bench"]["summary"]["gsm8k"]["metrics"][key]["value"] = 0.9

    edit(path, better)
    rehash(entry, name)
    edit(entry / "bundle.json", lambda said: said["entry"]["scores"]["after"][key].update(value=0.9))
    problems = verify(entry)
    assert f"{name}: metrics {key}: value is 0.9, from the responses 0.0" in problems
    assert f"{name}: results {key} is 0.9, from the responses 0.0" in problems


@pytest.mark.parametrize(("field", "value"), [("tokens", 10), ("optimizer_steps", 0)])
def test_a_changed_budget_is_named(entry, field, value):
    edit(entry / "bundle.json", lambda said: said["entry"]["spent"].update({field: value}))
    (problem,) = verify(entry)
    assert problem.startswith(f"bundle.json: entry.spent.{field} is {value}, the run's files say ")


def test_a_budget_changed_in_the_log_is_named_although_hashed(entry):
    edit(entry / "metrics.jsonl", lambda row: row.update(tokens=row["tokens"] // 2))
    rehash(entry, "metrics.jsonl")
    assert any(line.startswith("bundle.json: entry.spent.tokens is ") for line in verify(entry))


@pytest.mark.parametrize("hashed", [False, True])
def test_a_changed_manifest_is_named(entry, hashed):
    edit(entry / "manifest.json", lambda said: said["base_model"].update(sha256="0" * 64))
    if hashed:
        rehash(entry, "manifest.json")
    problems = verify(entry)
    assert ("manifest.json: changed since it was bundled (sha256 differs)" in problems) == (not hashed)
    assert any(line.startswith("bundle.json: entry.base_model is ") for line in problems)


def test_a_changed_reference_answer_is_named_although_everything_else_agrees(entry):
    """The response is declared right by changing what is asked for, with lm-eval's hashes made anew."""
    path, name = only(entry, "samples_*.jsonl")
    edit(path, easier)
    rehash(entry, name)
    assert any("the problem or its reference answer is not the one of the source" in line for line in verify(entry))


TERSE = """
name: terse
criteria:
  - {name: passes, text: All hidden tests pass., check: humaneval.hidden_tests, weight: 3}
  - {name: brief, text: At most 40 words., check: max_words, with: {words: 40}}
"""


def test_programs_run_again_and_a_rubric_file_goes_along(tmp_path):
    """A code task with the user's own rubric, which the bundle takes with it."""
    (tmp_path / "terse.yaml").write_text(TERSE)
    small = [
        word for setting in ("rubric=terse.yaml", "rollouts_per_step=8", "eval_items=6") for word in ("--set", setting)
    ]
    done = run_command(
        "run", "--task", "humaneval", "--method", "ppo", "--budget", "600", "--data", "synthetic", *small, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    made = run_command("leaderboard", "bundle", "runs/humaneval-ppo-s0", "-o", "entry", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (tmp_path / "terse.yaml").unlink()
    entry = tmp_path / "entry"
    assert verify(entry) == []

    path, name = only(entry, "samples_*.jsonl")
    whole = path.read_text()

    def unfinished(row):
        row["resps"] = [["    pass\n"]]
        row["filtered_resps"] = ["    pass\n"]

    edit(path, unfinished)
    rehash(entry, name)
    assert any("is 1.0, re-scored 0.0" in line for line in verify(entry))

    path.write_text(whole)
    rehash(entry, name)
    assert verify(entry) == []
    (entry / "rubric.yaml").write_text(TERSE.replace("words: 40", "words: 1"))
    assert "rubric.yaml: changed since it was bundled (sha256 differs)" in verify(entry)
    rehash(entry, "rubric.yaml")
    assert any("the verdicts on its criteria are others when it is judged again" in line for line in verify(entry))


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files: HERL_BENCH_DATA=DIR")
def test_reference_answers_are_checked_against_real_files(place, tmp_path):
    data = os.environ["HERL_BENCH_DATA"]
    small = [word for setting in SMALL for word in ("--set", setting)]
    words = [
        "--task",
        "gsm8k",
        "--method",
        "ppo",
        "--model",
        place / "llama",
        "--data",
        data,
        "--budget",
        "200",
        *small,
    ]
    done = run_command("run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = run_command("leaderboard", "bundle", "runs/gsm8k-ppo-s0", "-o", "entry", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (
        "taken from the bundle itself: pass --data"
        in run_command("leaderboard", "verify", "entry", cwd=tmp_path).stdout
    )
    sound = run_command("leaderboard", "verify", "entry", "--data", data, cwd=tmp_path)
    assert (sound.returncode, sound.stdout) == (0, "entry: verified; every response was judged again\n"), sound.stderr
    path, name = only(tmp_path / "entry", "samples_*.jsonl")
    edit(path, easier)
    rehash(tmp_path / "entry", name)
    forged = run_command("leaderboard", "verify", "entry", "--data", data, cwd=tmp_path)
    assert forged.returncode == 1
    assert "the problem or its reference answer is not the one of the source" in forged.stdout


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


FORGED_AND_HASHED = {
    "rows in another order": (in_rows(lambda rows: rows[::-1]), "doc_id is 7, its place is 0"),
    "a row twice": (in_rows(lambda rows: [*rows, rows[0]]), "its rows have the filters"),
    "an item twice": (in_rows(lambda rows: [*rows, *rows[:4]]), "was answered already in line 1"),
    "an item less": (in_rows(lambda rows: rows[4:]), "the items are not those of manifest.json"),
    "a row of one filter less": (in_rows(lambda rows: rows[:1] + rows[2:]), "its rows have the filters"),
    "a row without what we say of it": (in_rows(lambda rows: rows[0].pop("herl_bench") and None), "KeyError"),
    "no number": (in_rows(lambda rows: rows[0].update(exact_match=float("nan"))), "the number NaN is not finite"),
    "a pass rate of a row": (
        in_rows(lambda rows: rows[3].update(criterion_final_answer=0.5)),
        "column criterion_final_answer (none) is 0.5",
    ),
    "an extracted answer": (
        in_rows(lambda rows: rows[0]["herl_bench"]["responses"][0].update(extracted="7")),
        "extracted is '7', re-scored None",
    ),
    "a wrong type": (
        in_rows(lambda rows: rows[0]["herl_bench"]["responses"][0].update(metrics=[])),
        "not as a run writes it",
    ),
    "what lower is better": (
        in_results(lambda said, ours: said["higher_is_better"]["gsm8k"].update(exact_match=False)),
        "higher_is_better is ",
    ),
    "which metric ranks": (
        in_results(lambda said, ours: ours.update(metrics=dict(reversed(ours["metrics"].items())))),
        "metrics are in another order",
    ),
    "lm-eval's standard error": (
        in_results(lambda said, ours: said["results"]["gsm8k"].update({"exact_match_stderr,strict-match": 0.25})),
        "results exact_match_stderr,strict-match is 0.25",
    ),
    "a share": (in_results(lambda said, ours: ours.update(unparsed=0.125)), "unparsed is 0.125, from the responses "),
    "a metric more": (
        in_results(lambda said, ours: ours["metrics"].update(mine={"value": 1.0})),
        "metrics: mine is {'value': 1.0}, from the responses None",
    ),
    "a huge number": (in_results(lambda said, ours: ours["reward"].update(value=1e308)), "reward: value is 1e+308"),
    "another model's results": (
        in_results(lambda said, ours: said.update(model_name="other")),
        "model_name is 'other'",
    ),
    "a rubric": (
        in_file("manifest.json", lambda said: said["rubric"].update(sha256="0" * 64)),
        "another rubric than gsm8k as it is here",
    ),
    "endless tokens": (
        in_file("metrics.jsonl", lambda row: row.update(tokens=float("inf"))),
        "the number Infinity is not finite",
    ),
    "a list": (lambda entry: (entry / "manifest.json").write_text("[" * 100_000), "more than 100 levels deep"),
    "torn JSON": (lambda entry: (entry / "manifest.json").write_text('{"data": '), "not JSON, perhaps cut off"),
    "one file more": (
        lambda entry: (entry / "notes.txt").write_text("listed"),
        "notes.txt: not part of a bundle, although bundle.json lists it",
    ),
    "a later version": (
        in_file("bundle.json", lambda said: said.update(format=99)),
        "format is 99, and this version of herl-bench reads 1",
    ),
    "a path out of the bundle": (
        in_file("bundle.json", lambda said: said["files"].update({"../../x": ""})),
        "../../x: missing",
    ),
    "a terminal's escapes": (
        in_file("bundle.json", lambda said: said["entry"].update(method="\x1b[2J\nverified")),
        "entry.method is '",
    ),
    "false for zero": (
        in_file("bundle.json", lambda said: said["entry"].update(seed=False)),
        "entry.seed is False, the run's files say 0",
    ),
    "a link": (
        lambda entry: (entry / "rubric.yaml").symlink_to("/dev/zero"),
        "rubric.yaml: a link: a bundle holds its files itself",
    ),
    "a pipe": (lambda entry: os.mkfifo(entry / "rubric.yaml"), "rubric.yaml: neither a file nor a folder"),
}


def test_what_is_forged_is_named_in_one_line_although_every_hash_is_made_anew(place, tmp_path):
    host = load_host()
    for number, (what, (tamper, words)) in enumerate(FORGED_AND_HASHED.items()):
        entry = shutil.copytree(place / "entries" / "herl", tmp_path / str(number))
        tamper(entry)
        for path in entry.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "bundle.json":
                rehash(entry, str(path.relative_to(entry)))
        problems = verify_bundle(entry, _judge(host, entry, None, 1))
        assert any(words in line for line in problems), (what, problems)
        assert all(line.isprintable() and len(line) < 500 for line in problems), what


def test_missing_and_foreign_files_are_named(entry):
    (entry / "notes.txt").write_text("hello")
    (entry / "manifest.json").unlink()
    problems = verify(entry)
    assert "manifest.json: missing" in problems
    assert "notes.txt: not part of the bundle (bundle.json does not list it)" in problems


def test_what_is_no_entry_is_one_line(tmp_path):
    done = run_command("leaderboard", "verify", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "no bundle.json there" in done.stderr


# -------------------------------------------------------------------------------------------------------------- ranking
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
    return of_run(
        FinishedRun(f"{method}-{seed}", settings, manifest, "exact_match,none", True, (last,), scored, scored)
    )


def test_rows_that_no_interval_separates_share_a_rank():
    runs = [
        a_run(method, seed, right)
        for method, right in (("a", 30), ("b", 80), ("c", 82), ("d", 55))
        for seed in range(3)
    ]
    (table,) = rank(runs)
    assert [(s.name, s.rank, s.tied) for s in table.standings] == [
        ("c", 1, True),
        ("b", 1, True),
        ("d", 3, False),
        ("a", 4, False),
    ]
    assert [s.seeds for s in table.standings] == [(0, 1, 2)] * 4
    assert np.isclose(table.standings[1].score.value, 0.8)


def test_other_items_are_another_table():
    tables = rank([a_run("a", 0, 50), a_run("a", 0, 50, items=90), a_run("a", 0, 50, source="/data")])
    assert len(tables) == 3


def test_a_model_evaluated_outside_of_a_run_is_ranked_with_the_runs(place, tmp_path):
    """It is the policy that the runs started from, on their items."""
    words = ["--tasks", "gsm8k", "--model", "llama", "--data", "synthetic", "--limit", 8, "--max_new_tokens", 8]
    bare = run_command("eval", *words, "--output_path", tmp_path / "bare", cwd=place)
    assert bare.returncode == 0, bare.stderr
    refused = run_command("leaderboard", tmp_path / "bare", cwd=place)
    assert refused.returncode == 2
    assert "gsm8k has no samples beside it: evaluate with --log_samples" in refused.stderr
    whole = run_command("eval", *words, "--output_path", tmp_path / "whole", "--log_samples", cwd=place)
    assert whole.returncode == 0, whole.stderr
    done = run_command("leaderboard", "runs", tmp_path / "whole", "--format", "json", cwd=place)
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    rows = {row["name"]: row for row in table["standings"]}
    assert set(rows) == {"ppo", "herl", "llama"}
    assert rows["llama"]["tokens"] is None
    assert rows["llama"]["score"]["value"] == rows["ppo"]["before"]
    assert any("A row without tokens" in note for note in table["notes"])


def test_every_format_says_the_same(place):
    shown = run_command("leaderboard", "runs", cwd=place).stdout
    entries, left_out = entries_of([place / "runs"])
    assert left_out == []
    tables = rank(entries)
    (table,) = tables
    assert {s.name for s in table.standings} == {"ppo", "herl"}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [(r["name"], float(r["score"])) for r in rows] == [(s.name, s.score.value) for s in table.standings]
    (said,) = json.loads(to_json(tables))["tables"]
    assert [s["score"]["value"] for s in said["standings"]] == [s.score.value for s in table.standings]
    for text in (shown, to_markdown(tables), to_html(tables)):
        assert all(cell in text for s in table.standings for cell in cells(s).values())


def test_hostile_names_reach_no_terminal_and_no_page(capsys):
    tables = rank([a_run("<script>\x1b[2J\u202e[/bold]|\nx", 0, 50)])
    _show(tables)
    for text in (capsys.readouterr().out, to_markdown(tables), to_csv(tables), to_html(tables)):
        assert not {"\x1b", "\u202e"} & set(text)
    assert "<script>" not in to_markdown(tables)
    assert "<script>␛" not in to_html(tables)


def test_a_run_of_another_shape_is_one_line(place, tmp_path):
    run = shutil.copytree(place / "entries" / "ppo", tmp_path / "run")
    (run / "metrics.jsonl").write_text("[1]\n")
    with pytest.raises(UsageError, match=r"metrics\.jsonl:1: a row is a JSON object, not list"):
        entries_of([run])


def test_a_published_page_names_no_folder_of_the_machine(place, tmp_path):
    entries = shutil.copytree(place / "entries", tmp_path / "entries")
    assert not any(str(place) in path.read_text() for path in entries.rglob("*") if path.is_file())
    build(entries, tmp_path / "site", {})
    assert not any(str(place) in page.read_text() for page in (tmp_path / "site").iterdir())
    html = to_html(rank([a_run("a", 0, 50, source="/home/me/secret/gsm8k")]))
    assert "/home/me" not in html
    assert "gsm8k" in html


@needs_chromium
def test_the_site_opens_from_disk_and_leaves_out_what_is_forged(place, tmp_path):
    entries = shutil.copytree(place / "entries", tmp_path / "entries")
    edit(entries / "ppo" / "bundle.json", lambda said: said["entry"]["spent"].update(tokens=1))
    done = run_command("leaderboard", "build", entries, "-o", tmp_path / "site", "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 1
    assert "ppo: bundle.json: entry.spent.tokens is 1" in done.stderr

    async def steps(page):
        text = await page.js("document.body.innerText")
        assert "Not ranked" in text
        assert "entry.spent.tokens is 1" in text
        await page.js("document.querySelector('a[href^=\"entry-\"]').click()")

    page = visit(tmp_path / "site" / "index.html", tmp_path, steps)
    assert page.problems == []
    assert {p.name for p in (tmp_path / "site").iterdir()} == {"index.html", "task-gsm8k.html", "entry-1.html"}

    async def listed(page):
        assert await page.js("document.querySelector('#samples .count').textContent") == "8 of 8 responses"

    page = visit(tmp_path / "site" / "entry-1.html", tmp_path, listed)
    assert page.problems == []
    assert page.requests == [(tmp_path / "site" / "entry-1.html").as_uri()]


# ------------------------------------------------------------------------------------------ one bad entry, and the rest
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


@pytest.fixture(scope="module")
def crowd(place, tmp_path_factory):
    """A sound entry among all of `BAD_ENTRIES`, with every hash made anew."""
    folder = tmp_path_factory.mktemp("crowd")
    shutil.copytree(place / "entries" / "ppo", folder / "00-sound")
    for number, tamper in enumerate(BAD_ENTRIES.values(), 10):
        entry = shutil.copytree(place / "entries" / "ppo", folder / f"{number}-bad")
        tamper(entry)
        if tamper is not BAD_ENTRIES["no claims"] and tamper is not BAD_ENTRIES["claims of NaN"]:
            for path in sorted(entry.rglob("*")):
                if (
                    not path.is_symlink()
                    and path.is_file()
                    and path.name != "bundle.json"
                    and path.stat().st_size < 1 << 20
                ):
                    rehash(entry, str(path.relative_to(entry)))
    return folder


def test_a_site_is_built_of_what_is_sound_whatever_lies_beside_it(crowd, tmp_path):
    """The real command, so that processes and their limits are the real ones."""
    done = run_command(
        "leaderboard", "build", crowd, "-o", tmp_path / "site", "--jobs", 1, "--time_limit", 20, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for number, what in enumerate(BAD_ENTRIES, 10):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{crowd}/{number}-bad: ")]
        assert lines, what
        assert all(line.isprintable() and len(line) < 600 for line in lines), what
    assert not any("00-sound: " in line for line in done.stderr.splitlines() if line.startswith(f"{crowd}/00"))
    index = (tmp_path / "site" / "index.html").read_text()
    assert "entry-1.html" in index
    assert {p.name for p in (tmp_path / "site").iterdir()} == {"index.html", "task-gsm8k.html", "entry-1.html"}


def test_a_folder_is_ranked_whatever_lies_in_it(crowd, place, tmp_path, capsys):
    """Nothing is judged again here, so that what is forged well stays; whatever cannot be read is named."""
    entries, left_out = entries_of([crowd])
    assert any(entry.folder.endswith("00-sound") for entry in entries)
    unread = {
        "a copy",
        "a boolean that is none",
        "deep YAML",
        "deep JSON",
        "NaN tokens of a response",
        "a step twice",
        "a step less",
        "a pipe for a log",
        "a huge file",
        "an unfinished run",
        "NUL bytes",
        "a key twice",
        "tokens that fall",
        "no steps",
        "a folder for a log",
    }
    for number, what in enumerate(BAD_ENTRIES, 10):
        named = [line for line in left_out if f"/{number}-bad" in line.split(": ")[0]]
        assert len(named) <= 1, what
        assert named or what not in unread, what
    assert all(line.isprintable() and len(line) < 400 for line in left_out)
    for text in (to_markdown(rank(entries)), to_csv(rank(entries)), to_json(rank(entries)), to_html(rank(entries))):
        assert "gsm8k" in text


def test_files_of_lm_eval_are_left_out_with_a_line(place, tmp_path, capsys):
    shutil.copytree(place / "entries" / "ppo", tmp_path / "all" / "ppo")
    results = {"results": {"hellaswag": {"acc,none": 0.5}}, "configs": {}}
    (tmp_path / "all" / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(results))
    (tmp_path / "all" / "results_2026-01-02T00-00-00.000000.json").write_text("[NaN]")
    (tmp_path / "all" / "results_2026-01-03T00-00-00.000000.json").write_text('{"results": [], "herl_bench": 7}')
    entries, left_out = entries_of([tmp_path / "all"])
    assert len(entries) == 1
    assert [("lm-eval's own tasks" in line, "not a results file" in line) for line in left_out] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_undecided_answers_rank_as_wrong_and_are_shown(capsys):
    run = a_run("clever", 0, 50)
    undecided = dataclasses.replace(
        run,
        samples=tuple(
            dataclasses.replace(s, outcome=None if s.outcome == 0 else s.outcome, integrity="shared")
            for s in run.samples
        ),
    )
    (table,) = rank([a_run("plain", 0, 60), undecided])
    assert [(s.name, s.score.value, s.undecided) for s in table.standings] == [("plain", 0.6, 0), ("clever", 0.5, 50)]
    _show([table])
    for text in (capsys.readouterr().out, to_markdown([table]), to_html([table])):
        assert "50 of 100 undecided" in " ".join(text.replace("│", " ").split()) or "50 of 100" in text
    assert "100 shared" in to_markdown([table])
    assert [(r["undecided"], r["shared"]) for r in csv.DictReader(io.StringIO(to_csv([table])))] == [
        ("0", "0"),
        ("50", "100"),
    ]


def test_rows_may_be_ranked_by_another_metric(place):
    entries, _ = entries_of([place / "runs"], "robust_match")
    assert {entry.metric for entry in entries} == {"robust_match,numeric"}
    with pytest.raises(UsageError, match="stands for exact_match,strict-match and exact_match,flexible-extract"):
        entries_of([place / "runs"], "exact_match")
    with pytest.raises(UsageError, match="did you mean robust_match,numeric"):
        entries_of([place / "runs"], "robust_mach")


def test_what_reaches_markdown_and_spreadsheets_stays_text():
    tables = rank(
        [
            a_run('=HYPERLINK("http://x")![a](http://x.example/b.png)<script>|', 0, 50),
            a_run("@cmd", 0, 40),
            a_run("+1", 0, 30),
        ]
    )
    markdown, rows = to_markdown(tables), list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert "![a](" not in markdown
    assert "<script>" not in markdown
    assert all(row["name"].startswith("'") for row in rows)


def hang():
    while True:
        pass


@pytest.mark.parametrize(
    ("judge", "seconds", "told"),
    [
        (hang, 0.3, "took more than 0.3 seconds"),
        (lambda: bytearray(1 << 42), 60, "cannot be verified: MemoryError"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), 60, "ended by SIGKILL"),
        (lambda: os._exit(7), 60, "ended by exit code 7"),
    ],
)
def test_whatever_an_entry_makes_happen_is_bounded(judge, seconds, told, tmp_path):
    (problem,), checked = verify_apart(tmp_path, judge, seconds)
    assert told in problem
    assert not checked
