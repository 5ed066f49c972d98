"""The search of `benchmarks/guidance`: it runs and goes on, its words keep to their level, its numbers are right."""

import json
from pathlib import Path
from typing import Any

import pytest

from herl_bench import Example, Verdict
from herl_bench.conversation import list_turns, write_as_text
from herl_bench.testing import tiny_checkpoint

ROOT = Path(__file__).parents[2]
GUIDANCE = ROOT / "benchmarks" / "guidance"
PROBLEM = Example("mbpp/1", 'def double(x):\n    """ Double it.\n    >>> double(1)\n    2\n    """\n', "")
SEEN = [
    Verdict("runs", True),
    Verdict("hidden_tests", False, "assert double(3) == 6: got 9", "Use * where the draft has **.", "test 2"),
    Verdict("hidden_tests", False, "assert double(4) == 8: got 16", "", "test 3"),
]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GUIDANCE))
    import search

    return search


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GUIDANCE))
    import forms

    return forms


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GUIDANCE))
    import summary

    return summary


def write_problems(folder: Path) -> Path:
    rows = [{"question": f"What is {i} + {i}?", "answer": f"<<{i}+{i}={2 * i}>>\n#### {2 * i}"} for i in range(1, 9)]
    (folder / "gsm8k").mkdir()
    (folder / "gsm8k" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_search_runs_and_goes_on_where_it_was_killed(study: Any, tmp_path: Path, monkeypatch: Any, capsys: Any):
    model, data = tiny_checkpoint(tmp_path / "model", chat_template=True), write_problems(tmp_path)
    store = tmp_path / "answers.jsonl"
    given = f"--model {model} --task gsm8k --data {data} --store {store} --max_new_tokens 4 --rows 4 --dtype float32"

    def run(more: str) -> list[dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["search.py", *given.split(), *more.split()])
        study.main()
        return [json.loads(line) for line in store.read_text().splitlines() if '"key"' in line]

    arms = "plain@1,plain@0.7x2,told@0.7,without_draft:reference@1,with_draft:evidence:other@1"
    rows = run(f"--draft 1 --failures 2 3 --halve --arms {arms}")
    assert {r["arm"] for r in rows if r["half"] == "choose"} >= {"draft", "plain@1", "told:evidence@0.7"}
    store.write_text("".join(json.dumps(row) + "\n" for row in rows[:7]) + json.dumps(rows[7])[:20])
    again = run(f"--draft 1 --failures 2 3 --halve --arms {arms}")
    assert sorted(r["key"] for r in again) == sorted(r["key"] for r in rows)
    run(f"--summary {tmp_path / 'found.json'}")
    summary = json.loads((tmp_path / "found.json").read_text())
    assert len(summary["commands"]) == 1
    assert str(tmp_path) not in summary["commands"][0]
    found = summary["halves"]
    assert sum(half["drafts"]["answers"] for half in found.values()) == 8
    for half in found.values():
        assert half["arms"]["plain@0.7"]["best_of_two"]["failures"] == half["arms"]["plain@1"]["failures"]
    assert "| `plain@1` |" in capsys.readouterr().out


def test_words_tell_what_their_level_allows(forms: Any):
    told = {level: forms.find_fault(SEEN, level) for level in ("criteria", "evidence", "reference")}
    assert told["criteria"].told == "It returns wrong results for some arguments."
    assert told["evidence"].told.endswith("The test `assert double(3) == 6` fails: it returned 9.")
    assert told["reference"].told.endswith("it returned 9. Use * where the draft has **.")
    assert forms.find_fault([Verdict("runs", True), Verdict("parses", None)], "evidence") is None


def test_every_form_ends_with_the_user_and_shows_the_draft_where_it_says_so(forms: Any):
    fault = forms.find_fault(SEEN, "evidence")
    asked = {name: form(PROBLEM, "a draft\nof two lines", fault) for name, form in forms.ALTERNATIVES.items()}
    assert all(list_turns(prompt)[-1].role == "user" for prompt in asked.values())
    drafted = {name for name, prompt in asked.items() if "of two lines" in write_as_text(prompt)}
    assert drafted == {"again", "shown", "shown_test_first", "quoted"}
    assert asked["docstring"].endswith('    assert double(3) == 6\n    assert double(4) == 8\n    """\n')


def test_an_arm_is_its_name(study: Any):
    arm = study.parse_arm("tests:reference:other@0.7x2")
    assert arm == study.Arm("tests", "reference", True, 0.7, 2)
    assert arm.name == "tests:reference:other@0.7"
    with pytest.raises(SystemExit, match="FORM one of"):
        study.parse_arm("shouting@1")


def test_the_page_is_what_the_results_give(summary: Any):
    text = summary.PAGE.read_text()
    assert summary.fill_page(text) == text, "run python benchmarks/guidance/summary.py"


def test_numbers_by_hand(summary: Any):
    def make(key: str, arm: str, reward: float, tokens: int, draft: str = "") -> dict[str, Any]:
        plain = {"id": key[0], "half": "choose", "prompt_tokens": 100, "finish": "eos", "text": key}
        return {"key": key, "arm": arm, "reward": reward, "tokens": tokens, "draft": draft, **plain}

    rows = [make("a#0", "draft", 0.0, 10), make("b#0", "draft", 0.5, 10)]
    rows += [make("a#0|plain@1#0", "plain@1", 0.0, 50, "a#0"), make("b#0|plain@1#0", "plain@1", 1.0, 50, "b#0")]
    rows += [make("a#0|told@1#0", "told@1", 1.0, 100, "a#0"), make("b#0|told@1#0", "told@1", 0.25, 100, "b#0")]
    rows += [make("b#0|told@1#1", "told@1", 1.0, 100, "b#0")]
    found = summary.sum_up({r["key"]: r for r in rows}, lambda name, text: "same" if name == "a" else text)["choose"]
    told = found["arms"]["told@1"]
    assert (told["repaired"], told["reward"], told["better"], told["worse"]) == (0.5, 0.625, 1, 1)
    assert (told["copies"], told["tokens_written"]) == (0.5, 100)
    assert (told["repaired_per_1000_written"], told["repaired_per_1000_written_or_read"]) == (5, 2.5)
    assert told["best_of_two"] == {"failures": 1, "repaired": 1}
    assert told["against"]["repaired"] == {"difference": 0, "interval": [-1, 1]}
    assert told["against"]["repaired_per_1000_written"]["difference"] == -5
    assert (told["against"]["repaired_here_only"], told["against"]["repaired_there_only"]) == (1, 1)
