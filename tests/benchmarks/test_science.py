"""The study of `benchmarks/science`: its page is made of its files, its grids are right, its words follow from the
numbers."""

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from herl_bench.comparison import statistics
from herl_bench.plugins import load_host

ROOT = Path(__file__).parents[2]
SCIENCE = ROOT / "benchmarks" / "science"
RESULTS = SCIENCE / "results"
with tarfile.open(RESULTS / "raw.tar.xz") as archive:
    RAW = {member.name.removesuffix(".json"): json.load(archive.extractfile(member)) for member in archive}
TABLES = json.loads((RESULTS / "tables.json").read_text())


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCIENCE))
    import study

    return study


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCIENCE))
    import tables

    return tables


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCIENCE))
    import page

    return page


def test_the_page_is_what_the_tables_give(study: Any, page: Any):
    made = page.write_page(study.PARTS, TABLES, SCIENCE / "notes.md")
    assert (ROOT / "docs" / "results.md").read_text() == made, "run python benchmarks/science/study.py --collect"
    assert set(TABLES) <= {part.name for part in study.PARTS}


def test_the_tables_are_what_the_archive_gives(study: Any, tmp_path: Path):
    import archive

    archive.write_results(tmp_path, archive.read_raw(RESULTS), {part.name: part for part in study.PARTS})
    assert (tmp_path / "tables.json").read_text() == (RESULTS / "tables.json").read_text()
    assert archive.read_raw(tmp_path) == RAW


def test_a_raw_result_can_be_opened_by_the_command_that_is_taught(study: Any):
    import archive

    command = next(line.strip() for line in archive.__doc__.splitlines() if line.strip().startswith("tar "))
    shown = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert json.loads(shown) == RAW["main-gsm8k"]


def test_what_somebody_concludes_quotes_no_numbers():
    notes = SCIENCE / "notes.md"
    assert not re.search(r"\d", notes.read_text().replace("gsm8k", ""))


def test_every_grid_can_be_run(study: Any, tmp_path: Path):
    asked = study.Asked(tmp_path, tmp_path, None, None, [])
    for part in study.PARTS:
        if part.grid.is_file() and not part.evaluates and part.task in load_host().entries("task"):
            if part.policy:  # a warm start comes before the plan
                asked.policy(part).mkdir(parents=True)
                (asked.policy(part) / "warmstart.json").touch()
            plan = study.plan_part(asked.build_grid(part), asked.folder(part))
            assert set(part.baselines) <= {arm.name for arm in plan.arms}
            assert {cell.task for cell in plan.cells} == {part.task}
            assert len(plan.cells) == len({cell.directory for cell in plan.cells})
        assert re.search(r"about \d+ CPU minutes", part.about), part.name


def test_a_grid_that_writes_a_tuned_setting_itself_writes_the_tuned_value(study: Any):
    """Tuning is free, and so is an arm; what all arms of a part share is not."""
    seen = set()
    for part in study.PARTS:
        shared = (yaml.safe_load(part.grid.read_text()).get("settings") or {}) if part.grid.is_file() else {}
        for name, value in shared.items():
            if name in part.chosen and not isinstance(value, list):
                assert value == part.chosen[name], f"{part.grid.name}: {name}"
                seen.add(part.name)
    assert {"curves-gsm8k-faster", "tune-herl-gsm8k", "tune-herl-humaneval", "tune-herl-bbh"} <= seen


@pytest.mark.parametrize("part", [name for name in RAW if not name.startswith(("refine", "sampled"))])
def test_scores_and_differences_follow_from_the_outcomes(part: str):
    for task in RAW[part]["tasks"]:
        bits = {(run["arm"], run["seed"]): outcomes(run) for run in task["runs"]}
        for arm in task["arms"]:
            assert np.mean([bits[arm["arm"], seed] for seed in arm["seeds"]]) == pytest.approx(
                arm["score"]["value"], abs=1e-5
            )
        for c in task["contrasts"]:
            a, b = (np.array([bits[name, seed] for seed in c["seeds"]]) for name in (c["baseline"], c["arm"]))
            assert (b - a).mean() == pytest.approx(c["difference"]["value"], abs=1e-5)
            if len(c["seeds"]) > 1:
                found = statistics.crossed_interval(b - a)
                assert (found.low, found.high, found.p) == pytest.approx(
                    (c["difference"]["low"], c["difference"]["high"], c["p"]), abs=2e-5
                )


@pytest.mark.parametrize("part", [name for name in RAW if name.startswith("controls")])
def test_what_a_variant_keeps_and_repairs_stands_in_its_row(part: str, page: Any):
    (task,) = RAW[part]["tasks"]
    right = {
        arm["arm"]: np.mean([outcomes(run) for run in task["runs"] if run["arm"] == arm["arm"]]) for arm in task["arms"]
    }
    rows = {
        row[2]: row
        for line in page._compare_variants([TABLES[part]]).splitlines()
        if len(row := [cell.strip() for cell in line.split("|")]) > 5
    }
    for arm in task["arms"]:
        name = arm["arm"]
        if name not in ("ppo", "herl"):
            kept = (right[name] - right["ppo"]) / (right["herl"] - right["ppo"])
            assert float(rows[f"`{name}`"][6]) == pytest.approx(100 * kept, abs=1)
            (found,) = (
                repair
                for repair in arm["repairs"]
                if repair["criterion"] in ("final_answer", "hidden_tests", "right_answer")
            )
            assert float(rows[f"`{name}`"][4]) == pytest.approx(100 * found["fixed"] / found["missed"], abs=0.1)


def test_a_sampled_gain_follows_from_the_counts(page: Any, tables: Any):
    right = {"base": [[0, 2, 0, 1]], "ppo": [[0, 2, 1, 1], [0, 2, 0, None]], "herl": [[1, 2, 2, 0], [0, 2, 1, 2]]}
    runs = [
        {"policy": p, "seed": None if p == "base" else seed, "right": r}
        for p, rows in right.items()
        for seed, r in enumerate(rows)
    ]
    found = tables.compare_passes(
        {"methods": ["ppo", "herl"], "seeds": [0, 1, 2], "n": 2, "planted": "1010", "runs": runs}
    )
    first, second = page.list_passes(found)
    # the last problem is undecided once, and left out of PPO's score and of the differences
    assert (first[0], first[1], first[2][:4], first[3][:4]) == ("pass@1", "37.5", "41.7", "62.5")
    assert [cell.split(" ")[0] for cell in first[4:]] == ["+25.0", "+37.5", "+0.0"]
    assert (second[0], second[1], second[2][:4], second[3][:4]) == ("pass@2", "50.0", "50.0", "75.0")
    assert [cell.split(" ")[0] for cell in second[4:]] == ["+33.3", "+50.0", "+0.0"]


def test_of_the_settings_tried_the_first_at_ppos_end_is_named(page: Any):
    methods = {"ppo": "ppo", "herl": "herl", "slow": "herl", "fast": "herl", "ppo-fast": "ppo", "lost": "herl"}
    reached = {"ppo": 95, "herl": 20, "slow": 50, "fast": 33, "ppo-fast": 10, "lost": None}
    arms = [{"arm": name, "tokens_to_final": tokens} for name, tokens in reached.items()]
    tried = {
        "part": "P",
        "budget": 100,
        "arms": {name: {"method": m} for name, m in methods.items()},
        "tasks": [{"task": "bbh", "arms": arms}],
    }
    said = page.judge_tried(tried)
    assert "`fast`" in said
    assert "after 33 tokens: **met**" in said
    assert "after 33 tokens: **missed**" in page.judge_tried({**tried, "budget": 98})
    assert page.judge_tried({**tried, "tasks": [{"task": "bbh", "arms": [arms[0], arms[1], arms[-1]]}]}) == ""


def test_a_sampled_gain_is_judged_by_its_interval(page: Any):
    for low, high, word in (
        (0.01, 0.05, "**better**"),
        (-0.01, 0.05, "**no better**"),
        (-0.05, -0.01, "**worse**"),
        (None, None, "**too few**"),
    ):
        assert word in page.judge_sampled("bbh", {"value": 0.02, "low": low, "high": high})


def outcomes(run: dict[str, Any]) -> list[float]:
    return [float(c) for c in run["outcomes"].replace("?", "")]


def contrast(low: float, high: float, seeds: int = 5) -> dict[str, Any]:
    return {"seeds": list(range(seeds)), "difference": {"value": (low + high) / 2, "low": low, "high": high}}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (contrast(0.05, 0.09), "**reproduced**"),
        (contrast(0.02, 0.09), "**open**, HeRL is better than PPO, but the interval holds it"),
        (contrast(-0.02, 0.09), "**open**, the interval holds it"),
        (contrast(0.01, 0.03), "**not reproduced**"),
        (contrast(0.05, 0.09, seeds=2), "**not enough seeds**"),
    ],
)
def test_the_gain_is_judged_by_its_interval(page: Any, given: dict[str, Any], word: str):
    assert page.ARTICLE["gsm8k"] == 4.1
    assert word in page.judge_gain("gsm8k", given)


def test_a_third_of_the_tokens_is_the_target(page: Any, tables: Any):
    assert "**met**" in page.judge_tokens("bbh", 33_000, 100_000)
    assert "**missed**" in page.judge_tokens("bbh", 34_000, 100_000)
    assert "**missed**" in page.judge_tokens("bbh", None, 100_000)
    assert tables.find_target([[10, 0.1], [20, 0.4], [30, 0.5]], 0.3) == 20


def test_a_seed_counts_where_every_arm_is_done_with_it(study: Any):
    import collect

    def runs(*seeds: int) -> list[Any]:
        return [SimpleNamespace(seed=seed) for seed in seeds]

    ended = {
        ("bbh", "ppo", 0),
        ("bbh", "ppo", 1),
        ("bbh", "ppo", 2),
        ("bbh", "grpo", 0),
        ("bbh", "grpo", 1),
    }  # grpo's 1 diverged, its 2 is to come
    kept = collect._pair("bbh", {"ppo": runs(0, 1, 2), "grpo": runs(0)}, ended)
    assert {arm: [run.seed for run in group] for arm, group in kept.items()} == {"ppo": [0, 1], "grpo": [0]}


SMALL = (
    "budget=800",
    "eval_items=8",
    "rollouts_per_step=32",
    "num_generations=2",
    "max_new_tokens=8",
    "data=synthetic",
)


@pytest.mark.long
def test_a_part_runs_collects_and_keeps_what_is_more(study: Any, checkpoint: Path, tmp_path: Path):
    words = [word for setting in (*SMALL, f"model={checkpoint}") for word in ("--set", setting)]
    words += ["--parts", "main-gsm8k", "--seeds", "1", "--output_dir", "runs", "--results", "out"]

    def run(*more: str) -> str:
        done = subprocess.run(
            [sys.executable, SCIENCE / "study.py", *words, *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "main-gsm8k: 4 of 4 runs" in run()
    import archive

    found, made = archive.read_raw(tmp_path / "out")["main-gsm8k"], (tmp_path / "out" / "results.md").read_text()
    assert [arm["arm"] for arm in found["tasks"][0]["arms"]] == ["ppo", "grpo", "rloo", "herl"]
    assert found["versions"]["herl_bench"]
    assert "**not enough seeds**" in made
    assert "| `herl` | 1 |" in made
    before = (tmp_path / "out" / "raw.tar.xz").read_bytes()
    (tmp_path / "runs" / "gsm8k" / "runs" / "gsm8k-rloo-s0" / "final" / "config.json").unlink()
    assert "4 runs are kept; here are 3" in run("--collect")
    assert (tmp_path / "out" / "raw.tar.xz").read_bytes() == before
    (tmp_path / "runs" / "gsm8k" / "runs" / "gsm8k-rloo-s0" / "checkpoints" / "diverged-000001").mkdir()
    run("--collect", "--results", "without")
    assert archive.read_raw(tmp_path / "without")["main-gsm8k"]["diverged"] == ["rloo seed 0"]
    made = (tmp_path / "without" / "results.md").read_text()
    assert "left out: rloo seed 0" in made
    assert "3 of 4" not in made
    run("--parts", "curves-gsm8k")
    made = (tmp_path / "out" / "results.md").read_text()
    assert "so far" not in made
    assert "| accuracy after | 0k |" in made
    import evaluating

    asked = {"task": "gsm8k", "methods": ["ppo", "herl"], "seeds": [0], "items": 4}
    place = tmp_path / "runs" / "gsm8k" / "runs", tmp_path / "evaluated"
    for kind in ({"temperature": 1, "n": 2}, {"critiques": ["reference_free"], "rounds": 1}):
        assert evaluating.run({**asked, **kind}, *place) == 0
        found = evaluating.collect_evaluations({**asked, **kind}, *place)
        assert [(run["policy"], run["seed"]) for run in found["runs"]] == [("base", None), ("ppo", 0), ("herl", 0)]
        if "n" in kind:
            assert all(len(run["right"]) == len(found["planted"]) == 4 and run["tokens"] > 0 for run in found["runs"])
        else:
            assert all(len(run["rounds"]) == 2 for run in found["runs"])
    assert evaluating.run({**asked, "seeds": [1], "temperature": 1, "n": 2}, *place) == 1
