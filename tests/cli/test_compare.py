"""`herl-bench compare` as a user types it: real sweeps of real runs with an untrained Llama on GSM8K's synthetic
world."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.commands import run_command
from helpers.tiny_sweep import CELLS, lasting, tiny_comparison

from herl_bench.comparison.analyse import Terms, compare_runs
from herl_bench.comparison.curves import join_last_step
from herl_bench.comparison.finished_runs import FinishedRun, read_run
from herl_bench.comparison.schema import Arm, Comparison, Point, from_json, to_json
from herl_bench.errors import UsageError
from herl_bench.evaluation.result_files import read_summary
from herl_bench.experiment.grid import SweepRequest, plan_sweep
from herl_bench.plugins import load_host
from herl_bench.report.contents import describe_comparison, read_contents
from herl_bench.report.report import to_html
from herl_bench.testing import tiny_checkpoint


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_comparison(tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama"))


def command(*words: Any) -> list[str]:
    return [sys.executable, "-m", "herl_bench", "compare", *map(str, words)]


def compare(*words: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_command("compare", *words, cwd=cwd, timeout=400)


@pytest.fixture(scope="module")
def finished(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison, str]:
    """The folder, what --format json printed, and stderr."""
    cwd = tmp_path_factory.mktemp("whole")
    done = compare(*words, "-o", "out", "--format", "json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "out", from_json(done.stdout), done.stderr


# ------------------------------------------------------------------------------------------------------- what comes out
def test_numbers_are_those_of_the_runs(finished: tuple[Path, Comparison, str]):
    folder, done, err = finished
    assert sorted(p.name for p in (folder / "runs").iterdir() if p.is_dir()) == CELLS
    assert from_json((folder / "compare.json").read_text()) == done
    assert err.count(": done (") == 4
    (items,), (contrast,) = done.tasks, done.contrasts
    assert [len(run.after.outcomes) for run in done.runs] == [len(items.items)] * 4 == [8] * 4
    for run in done.runs:
        summary = read_summary(folder / run.directory / "eval" / "after")
        assert sum(o for o in run.after.outcomes if o) / 8 == summary["metrics"][items.metric]["value"]
        last = json.loads((folder / run.directory / "metrics.jsonl").read_text().splitlines()[-1])
        assert (run.spent.tokens, run.spent.optimizer_steps) == (last["tokens"], last["optimizer_steps"])
        assert run.spent.flops == run.manifest["base_model"]["parameters"] * (
            2 * last["forward_tokens"] + 6 * last["trained_tokens"]
        )
        (samples,) = (folder / run.directory / "eval" / "after").glob("samples*")
        missed = [s for s in map(json.loads, samples.read_text().splitlines()) if "herl_bench" in s]
        unmet = [
            {v["criterion"] for v in s["herl_bench"]["responses"][0]["verdicts"] if v["met"] is False} for s in missed
        ]
        assert run.after.co_failure == tuple(
            tuple(sum({a, b} <= m for m in unmet) for b in items.criteria) for a in items.criteria
        )
    assert contrast.verdict.word == "not enough seeds"
    assert contrast.difference.value == pytest.approx(done.arm_scores[1].score.value - done.arm_scores[0].score.value)
    assert set(contrast.kinds) == set(done.arm_scores[1].kinds) == {"planted", "plain"}
    for arm in done.arm_scores:
        folders = [folder / run.directory / "eval" for run in done.runs if run.arm == arm.arm]
        assert all(sum(one.is_dir() for one in f.iterdir()) > 3 for f in folders)
        ends = [
            [read_summary(f / end)["metrics"][items.metric]["value"] for f in folders] for end in ("before", "after")
        ]
        assert (arm.held_out[0].tokens, arm.held_out[0].mean) == (0, pytest.approx(sum(ends[0]) / 2))
        assert arm.held_out[-1].tokens == min(run.spent.tokens for run in done.runs if run.arm == arm.arm)
    assert done.runs[-1].repairs
    assert done.runs[-1].audits[0].guidance
    assert done.unequal == done.failed == ()


def test_a_second_call_runs_nothing_and_reads_as_well(finished: tuple[Path, Comparison, str], words: list[str]):
    folder, _, _ = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*")}
    done = compare(*words, "-o", folder, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Not enough seeds to compare herl and ppo on gsm8k" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*")}


def test_finished_run_folders_give_the_same_comparison(finished: tuple[Path, Comparison, str]):
    folder, whole, _ = finished
    done = compare(*(folder / "runs" / name for name in CELLS), "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    again = from_json(done.stdout)
    assert again.baseline == "ppo"
    assert again.contrasts == whole.contrasts
    assert again.arm_scores == whole.arm_scores


def test_two_tasks_are_corrected_together_and_summed_up(finished: tuple[Path, Comparison, str]):
    """The finished runs under two tasks' names, with outcomes as if HeRL had got one more (gsm8k) and five more (other)
    of 8 items right than PPO."""
    more = {"gsm8k": {"ppo": 2, "herl": 3}, "other": {"ppo": 1, "herl": 6}}
    runs = [read_run(finished[0] / "runs" / name) for name in CELLS]

    def as_task(run: FinishedRun, task: str) -> FinishedRun:
        right = more[task][run.method] + run.seed  # the second seed gets one more
        samples = tuple(replace(sample, outcome=float(i < right)) for i, sample in enumerate(run.after.samples))
        return replace(run, settings={**run.settings, "task": task}, after=replace(run.after, samples=samples))

    arms = [Arm("ppo", "ppo"), Arm("herl", "herl")]
    found = {
        task: {arm.name: [as_task(run, task) for run in runs if run.method == arm.name] for arm in arms}
        for task in more
    }
    done = compare_runs(found, arms, Terms(), folder=finished[0])
    small, large = sorted((c.p, c.p_holm) for c in done.contrasts if c.p is not None and c.p_holm is not None)
    assert {c.task: c.difference.value for c in done.contrasts} == pytest.approx({"gsm8k": 1 / 8, "other": 5 / 8})
    assert small[1] == pytest.approx(
        min(1, 2 * small[0])
    )  # Holm: the smaller p times two, the larger as it is, and never less than the smaller
    assert large[1] == pytest.approx(max(large[0], small[1]))
    iqm = {overall.arm: overall.iqm.value for overall in done.overall}
    assert iqm == pytest.approx(
        {"ppo": 2 / 8, "herl": (4 + 6) / 2 / 8}
    )  # the middle two of 2, 3, 1, 2 and of 3, 4, 6, 7 eighths
    assert [o.improvement.value for o in done.overall if o.improvement] == [
        pytest.approx((3.5 / 4 + 1) / 2)
    ]  # gsm8k: of 4 pairs one is a tie


def as_if(run: FinishedRun, before: float | None, after: list[float | None]) -> FinishedRun:
    """The run with other outcomes."""
    was = tuple(replace(s, outcome=before) for s in run.before.samples)
    now = tuple(replace(s, outcome=value) for s, value in zip(run.after.samples, after, strict=True))
    return replace(run, before=replace(run.before, samples=was), after=replace(run.after, samples=now))


def test_undecided_is_wrong_everywhere_and_an_arm_that_fell_is_named(finished: tuple[Path, Comparison, str]):
    """PPO gets 4 of 8 right, and HeRL none of the 2 that were decided; before training both had all."""
    outcomes: dict[str, list[float | None]] = {"ppo": [1.0] * 4 + [0.0] * 4, "herl": [None] * 6 + [0.0] * 2}
    runs = [as_if(read_run(finished[0] / "runs" / name), 1.0, outcomes[name.split("-")[1]]) for name in CELLS]
    arms = [Arm("ppo", "ppo"), Arm("herl", "herl")]
    done = compare_runs(
        {"gsm8k": {a.name: [r for r in runs if r.method == a.name] for a in arms}}, arms, Terms(), folder=finished[0]
    )
    (contrast,) = done.contrasts
    assert (contrast.items, contrast.difference.value) == (8, pytest.approx(-0.5))
    assert [(t.fixed, t.broken) for t in contrast.seed_tests] == [(0, 4)] * 2
    assert {a.arm: (a.score.value, a.undecided, a.responses, a.fell) for a in done.arm_scores} == {
        "ppo": (0.5, 0, 16, True),
        "herl": (0.0, 12, 16, True),
    }
    assert contrast.verdict.sentence.endswith("12 of 16 answers of herl could not be decided and count as wrong.")
    assert done.verdicts[-1].startswith(
        "Both arms ended below where they began on gsm8k: ppo 1.000 → 0.500, herl 1.000 → 0.000."
    )
    assert "than 0.001 (--set learning_rate=3e-04)" in done.verdicts[-1]
    assert from_json(to_json(done)) == done
    page = to_html(describe_comparison(done))
    assert "12 of 16 undecided" in page
    assert page.count('<span class="bad">below where it began</span>') == 2


def test_optimiser_steps_that_settings_ask_for_are_told_and_no_fault(finished: tuple[Path, Comparison, str]):
    """HeRL with minibatches of half the size, and steps twice as many; and with one step more than PPO, which is none
    too many."""
    runs = [read_run(finished[0] / "runs" / name) for name in CELLS]

    def make(extra: int, times: int, size: int) -> Comparison:
        arms: dict[str, list[FinishedRun]] = {"ppo": [], "herl": []}
        for run in runs:
            more, many = (extra, times) if run.method == "herl" else (0, 1)
            each = [{**row, "optimizer_steps": many * row["step"]} for row in runs[0].rows]
            each[-1]["optimizer_steps"] += more
            chosen = {**run.settings["set"], "minibatch_size": size if run.method == "herl" else 16}
            arms[run.method].append(replace(run, rows=tuple(each), settings={**run.settings, "set": chosen}))
        return compare_runs({"gsm8k": arms}, [Arm(name, name) for name in arms], Terms(), folder=finished[0])

    count = len(runs[0].rows)
    (note,) = (note for note in make(0, 2, 8).notes if "optimiser steps" in note)
    assert note == (
        "gsm8k: at equal tokens the arms took different numbers of optimiser steps:"
        f" ppo {count} in {count} steps, herl {2 * count} in {count} steps."
    )
    assert not any("optimiser steps" in note for note in make(1, 1, 16).notes)
    with pytest.raises(UsageError, match="gsm8k: optimiser steps per step: ppo takes 1; herl takes 2: make them equal"):
        make(0, 2, 16)


def test_another_metric_may_be_compared(finished: tuple[Path, Comparison, str]):
    runs = [read_run(finished[0] / "runs" / name, "robust_match") for name in CELLS]
    arms = [Arm("ppo", "ppo"), Arm("herl", "herl")]
    done = compare_runs(
        {"gsm8k": {a.name: [r for r in runs if r.method == a.name] for a in arms}}, arms, Terms(), folder=finished[0]
    )
    assert done.tasks[0].metric == "robust_match,numeric"
    assert not done.arm_scores[0].curve
    assert any("chosen with --metric" in note for note in done.notes)
    assert "robust match" in to_html(describe_comparison(done))


DAMAGED: dict[str, tuple[str, Any, str]] = {
    "the last step twice": ("metrics.jsonl", lambda rows: [*rows, rows[-1]], "stands there twice"),
    "all steps twice": ("metrics.jsonl", lambda rows: rows * 2, "step 1 stands there twice"),
    "a step less": ("metrics.jsonl", lambda rows: rows[1:], "step 1 is missing"),
    "a step between": (
        "metrics.jsonl",
        lambda rows: [rows[0], rows[0].replace('"step": 1,', '"step": 1.5,'), *rows[1:]],
        "step 2 is missing (step 1.5",
    ),
    "responses twice": ("rollouts.jsonl", lambda rows: [rows[0], *rows], "response 0 of step 1 stands there twice"),
    "responses of a step less": (
        "rollouts.jsonl",
        lambda rows: [row for row in rows if '"step": 1,' not in row],
        "step 1 is missing",
    ),
    "responses of the last step less": (
        "rollouts.jsonl",
        lambda rows: [row for row in rows if row[:11] != rows[-1][:11]],
        "the log lost a part",
    ),
    "all responses twice": ("rollouts.jsonl", lambda rows: rows * 2, "stands there twice"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_log_with_doubled_or_missing_steps_is_refused(
    finished: tuple[Path, Comparison, str], tmp_path: Path, what: str
):
    name, change, told = DAMAGED[what]
    run = Path(shutil.copytree(finished[0] / "runs" / CELLS[0], tmp_path / "run"))
    (run / name).write_text("".join(change((run / name).read_text().splitlines(keepends=True))))
    with pytest.raises(UsageError, match=re.escape(told)) as refused:
        read_contents(run)
    assert "\n" not in str(refused.value)


def test_what_is_no_run_is_left_out_with_a_line(finished: tuple[Path, Comparison, str], tmp_path: Path):
    """`compare runs/*` finds a sweep's logs beside the runs."""
    done = compare(*sorted((finished[0] / "runs").iterdir()), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr.count("no config.yaml there, so it is no run: left out")
        == len(list((finished[0] / "runs").glob("*.log")))
        > 0
    )
    mixed = compare(finished[0] / "runs" / CELLS[0], finished[0] / "runs" / CELLS[1] / "eval" / "after", cwd=tmp_path)
    assert (mixed.returncode, "is a run and" in mixed.stderr) == (2, True), mixed.stderr


# ---------------------------------------------------------------------------------------------------- killed and failed
@pytest.mark.long
def test_killed_at_any_moment_it_ends_with_the_same_table(
    finished: tuple[Path, Comparison, str], words: list[str], tmp_path: Path
):
    """The sweep is killed twice, and in between it gets Ctrl-C and loses a cell; `benchmarks/kills.py` kills twenty
    times."""
    chance = random.Random(7)
    for victim in ("sweep", "ctrl-c", "cell", "sweep"):
        torn = {
            log: log.stat().st_mtime_ns for log in tmp_path.glob("out/runs/*/metrics.jsonl") if not saved(log.parent)
        }
        process = subprocess.Popen(
            command(*words, "-o", "out"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        marks = count_marks(tmp_path) + chance.randrange(1, 4)
        wait_for(lambda marks=marks, process=process: count_marks(tmp_path) >= marks or process.poll() is not None)
        cells = children(process.pid)
        if victim == "cell" and cells:
            os.kill(
                max(cells), signal.SIGKILL
            )  # the one that was started last, so that it is not just ending by itself
            _, err = process.communicate(timeout=300)
            assert process.returncode == 1, err
            assert "killed by SIGKILL" in err
        elif victim == "ctrl-c":
            # what kill -9 tore off is cut back once its run goes on; before that, no Ctrl-C can save it
            wait_for(lambda torn=torn: all(log.stat().st_mtime_ns != then for log, then in torn.items()))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=300)
            assert process.returncode == 130, err
            assert err.splitlines()[-1] == "herl-bench: interrupted; the same command goes on from here"
            assert all(saved(run) for run in (tmp_path / "out" / "runs").glob("*/"))
        else:
            process.kill()
            process.communicate(timeout=60)
    done = compare(*words, "-o", "out", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert lasting(done.stdout) == lasting(to_json(finished[1]))


def saved(run: Path) -> bool:
    """Every step that is in its log is in a checkpoint, or the run has ended."""
    steps = (run / "metrics.jsonl").read_text().count("\n") if (run / "metrics.jsonl").is_file() else 0
    return steps == 0 or (run / "final").is_dir() or (run / "checkpoints" / f"step-{steps:06}").is_dir()


def count_marks(cwd: Path) -> int:
    """Steps and evaluations so far, over all cells."""
    runs = cwd / "out" / "runs"
    return sum(p.read_text().count("\n") for p in runs.glob("*/metrics.jsonl")) + len(
        list(runs.glob("*/eval/*/results_*"))
    )


def children(pid: int) -> list[int]:
    """None where the process has ended."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_failed_cell_is_reported_and_the_rest_is_compared(
    finished: tuple[Path, Comparison, str], words: list[str], tmp_path: Path
):
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    broken = folder / "runs" / "gsm8k-herl-s1"
    shutil.rmtree(broken / "final")
    shutil.rmtree(broken / "checkpoints")
    (broken / "metrics.jsonl").unlink()
    (broken / "metrics.jsonl").mkdir()
    done = compare(*words, "-o", folder, "--format", "json", cwd=tmp_path)
    assert done.returncode == 1
    found = from_json(done.stdout)
    assert [(cell.arm, cell.seed) for cell in found.failed] == [("herl", 1)]
    assert "metrics.jsonl" in found.failed[0].reason
    assert "gsm8k herl seed 1: failed: " in done.stderr
    assert [(run.arm, run.seed) for run in found.runs] == [("ppo", 0), ("herl", 0)]
    assert found.verdicts[0] == "1 run failed; left out for every arm: seed 1 of gsm8k."


# ------------------------------------------------------------------------------------------------------------- refusals
def damaged(finished: tuple[Path, Comparison, str], tmp_path: Path, change: Any) -> list[Path]:
    """Copies of the four runs, one of them changed."""
    runs = Path(shutil.copytree(finished[0] / "runs", tmp_path / "runs"))
    change(runs / "gsm8k-herl-s1")
    return [runs / name for name in CELLS]


def other_checkpoint(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["base_model"]["sha256"] = "f" * 64
    (run / "manifest.json").write_text(json.dumps(manifest))


def other_precision(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["placement"]["dtype"] = "bfloat16"
    (run / "manifest.json").write_text(json.dumps(manifest))


def other_budget(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "budget": 800}))


def other_items(run: Path) -> None:
    (samples,) = (run / "eval" / "after").glob("samples_*")
    samples.write_text(samples.read_text().replace("How many", "How much", 1).replace("Question:", "Problem:", 1))


def other_prompts(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["data"]["sha256"] = {"train": "0" * 64}
    (run / "manifest.json").write_text(json.dumps(manifest))


def other_pace(run: Path) -> None:
    """As if each step had taken two optimiser steps."""
    log = run / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    doubled = [{**row, "optimizer_steps": 2 * row["optimizer_steps"]} for row in rows]
    log.write_text("".join(json.dumps(row) + "\n" for row in doubled))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_checkpoint, "base checkpoint"),
        (other_precision, "precision: herl has float32 and bfloat16"),
        (other_budget, "token budget: herl has 400 and 800"),
        (other_items, "evaluation items"),
        (other_prompts, "prompts"),
        (other_pace, "herl takes 1.5"),
    ],
)
def test_an_unfair_comparison_is_refused_by_name_or_says_so(
    finished: tuple[Path, Comparison, str], tmp_path: Path, change: Any, named: str
):
    folders = damaged(finished, tmp_path, change)
    refused = compare(*folders, cwd=tmp_path)
    assert refused.returncode == 2
    assert "not a fair comparison" in refused.stderr
    assert named in refused.stderr
    assert "--allow_unequal" in refused.stderr
    allowed = compare(*folders, "--allow_unequal", cwd=tmp_path)
    assert allowed.returncode == 0, allowed.stderr
    assert "The arms are not equal" in allowed.stdout


def test_missing_seeds_and_twins_are_named(finished: tuple[Path, Comparison, str], tmp_path: Path):
    runs = [finished[0] / "runs" / name for name in CELLS]
    refused = compare(*runs[1:], cwd=tmp_path)
    assert refused.returncode == 2
    assert "seeds: ppo has 0, 1; herl has 1" in refused.stderr
    twin = shutil.copytree(runs[0], tmp_path / "twin")
    refused = compare(*runs, twin, cwd=tmp_path)
    assert refused.returncode == 2
    assert "are the same method with the same settings and seed" in refused.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--task", "gsm8k", "--methods", "ppo"], "one arm is nothing to compare"),
        (["--task", "gsm8k", "--methods", "ppo,herk"], "did you mean herl"),
        (["--task", "gsm8k", "--methods", "ppo,herl", "--seeds", "x"], "write how many (5), or which"),
        (["--task", "gsm8k", "--methods", "ppo,herl", "--set", "learning_rat=1"], "did you mean learning_rate"),
        (["--task", "gsm8k", "--methods", "ppo,herl", "--baseline", "hrl"], "did you mean herl"),
        (["--methods", "ppo,herl"], "--task is missing"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["nowhere", "--methods", "ppo"], "not both"),
    ],
)
def test_wrong_words_make_nothing(given: list[str], told: str, tmp_path: Path):
    done = compare(*given, cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_budget_does_not_mix_with_what_is_there(finished: tuple[Path, Comparison, str], words: list[str]):
    folder = finished[0]
    done = compare(*words, "--budget", "500", "-o", folder, cwd=folder)
    assert done.returncode == 2
    assert "was made with budget=400, and this asks for 500" in done.stderr


# ---------------------------------------------------------------------------------------------------------------- grids
def plan_cells(grid: str, tmp_path: Path, **settings: Any) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """(arms, directories, configurations) that a grid file comes to."""
    (tmp_path / "grid.yaml").write_text(grid)
    request = SweepRequest(settings=settings, grid=tmp_path / "grid.yaml", output_dir=tmp_path / "out")
    plan = plan_sweep(load_host(), request)
    return (
        [arm.name for arm in plan.arms],
        [c.directory.name for c in plan.cells],
        [yaml.safe_load(c.config) for c in plan.cells],
    )


def test_a_grid_crosses_settings_with_the_methods_that_have_them(tmp_path: Path):
    grid = (
        "tasks: [gsm8k, bbh]\nmethods: [ppo, herl]\nseeds: [0, 3]\nsettings: {budget: 5k, hint_level: [criteria,"
        " evidence]}\n"
    )
    arms, folders, configs = plan_cells(grid, tmp_path)
    assert arms == ["ppo", "herl hint_level=criteria", "herl hint_level=evidence"]
    assert len(set(folders)) == len(folders) == 2 * 2 * 3
    assert "bbh-herl_hint_level=evidence-s3" in folders
    assert {c["budget"] for c in configs} == {5000}
    assert [c["set"].get("hint_level") for c in configs[:3]] == [None, "criteria", "evidence"]


def test_options_win_over_the_grid(tmp_path: Path):
    grid = (
        "tasks: gsm8k\nmethods: ppo,herl\nseeds: 1\nbaseline: herl\nsettings: {budget: 5k, learning_rate: [1.0e-4,"
        " 2.0e-4]}\n"
    )
    arms, _, configs = plan_cells(grid, tmp_path, budget="7k", learning_rate=3e-4)
    assert arms == ["herl", "ppo"]
    assert {(c["budget"], c["set"]["learning_rate"], c["seed"]) for c in configs} == {(7000, 3e-4, 0)}


def test_a_grid_may_leave_a_rate_to_the_model(tmp_path: Path):
    """And the runs' files say what that comes to."""
    grid = "tasks: gsm8k\nmethods: ppo,grpo\nseeds: 1\nsettings: {learning_rate: [auto, 1.0e-4]}\n"
    arms, _, configs = plan_cells(grid, tmp_path)
    assert arms == [f"{method} learning_rate={rate}" for method in ("ppo", "grpo") for rate in ("auto", 0.0001)]
    assert [c["set"]["learning_rate"] for c in configs] == [3e-4, 1e-4] * 2


def test_a_grid_may_name_its_arms(tmp_path: Path):
    grid = """
tasks: bbh
seeds: 1
arms: {herl: {method: herl}, none: {method: herl, bonus: none, learning_rate: 1.0e-4}, ppo: {method: ppo}}
settings: {budget: 5k, bonus_coef: 0.1, learning_rate: 2.0e-4, kl_coef: 0.1}
baseline: ppo
"""
    arms, folders, configs = plan_cells(grid, tmp_path, kl_coef=0.3)
    assert arms == ["ppo", "herl", "none"]
    assert folders == ["bbh-ppo-s0", "bbh-herl-s0", "bbh-none-s0"]
    assert [c["set"]["learning_rate"] for c in configs] == [2e-4, 2e-4, 1e-4]
    assert [c["set"].get("bonus") for c in configs] == [None, "critic", "none"]
    assert {(c["budget"], c["set"]["kl_coef"], c["set"].get("bonus_coef", 0.1)) for c in configs} == {(5000, 0.3, 0.1)}


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("tasks: gsm8k\nmethods: [ppo]\narms: {a: {method: herl}}\n", "leave out either arms or methods"),
        ("tasks: gsm8k\narms: [ppo, herl]\n", "grid.yaml: arms: write `name: {method: METHOD"),
        ("tasks: gsm8k\narms: {a: {bonus: none}}\n", "grid.yaml: arms: a: write `name: {method: METHOD"),
        ("tasks: gsm8k\narms: {no: {method: herl}}\n", "arms: False: a name is a word of letters"),
        ("tasks: gsm8k\narms: {a b: {method: herl}}\n", "arms: a b: a name is a word of letters"),
        ("tasks: gsm8k\narms: {a: {method: herrl}}\n", "did you mean herl"),
        ("tasks: gsm8k\narms: {a: {method: herl, bonuss: none}}\n", "grid.yaml: arms: a: no setting named 'bonuss'"),
        ("tasks: gsm8k\narms: {a: {method: herl, bonus: nine}}\n", "grid.yaml: arms: a: bonus=nine: input should be"),
        ("tasks: gsm8k\narms: {a: {method: herl}}\nsettings: {bonus: [none, critic]}\n", "write an arm for each"),
        ("task: [gsm8k]\nmethods: [ppo, herl]\n", "did you mean tasks"),
        ("tasks: gsm8k\nmethods: [ppo, herl]\nsettings: {hint_levl: [evidence]}\n", "did you mean hint_level"),
        ("tasks: gsm8k\nmethods: [ppo, herl]\nsettings: {hint_level: [evidenc, criteria]}\n", "hint_level=evidenc"),
        ("tasks: gsm8k\nmethods: [ppo, herl]\nsettings: [hint_level]\n", "write `name: value`"),
        (
            "tasks: gsm8k\nmethods: ppo\nsettings: {budget: [5k, 9k]}\n",
            "not a fair comparison: budget: ppo budget=5k has 5k; ppo budget=9k has 9k",
        ),
    ],
)
def test_a_wrong_grid_is_one_clear_line(grid: str, told: str, tmp_path: Path):
    with pytest.raises(UsageError, match=re.escape(told)):
        plan_cells(grid, tmp_path)


def test_a_tiny_last_step_is_drawn_with_the_one_before_it():
    steps = [
        Point(i, tokens, None, metric, criteria={"a": metric})
        for i, (tokens, metric) in enumerate([(100, 0.0), (200, 0.2), (300, 0.4), (310, 1.0)])
    ]
    *rest, last = join_last_step(steps)
    assert rest == steps[:2]
    assert last.tokens == 310
    assert last.metric == last.criteria["a"] == pytest.approx((0.4 * 100 + 1.0 * 10) / 110)
    assert join_last_step([*steps[:3], replace(steps[3], tokens=360)])[-1].metric == 1.0
