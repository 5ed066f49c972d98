"""Make a leaderboard entry: a folder that anybody can check, of a run's claims, its evaluations and their hashes.

    BUNDLE/
      bundle.json      what is claimed (task, method, seed, base model, budget, scores), and the other files' sha256
      config.yaml manifest.json metrics.jsonl final/config.json    as in the run (or final/adapter_config.json)
      rubric.yaml      where the run's rubric was a file
      eval/before/ eval/after/                   as in the run: results and samples

It names a folder of the publisher's machine by its last part alone. Left out: believing it (`verification.py`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from herl_bench.comparison.finished_runs import FinishedRun, find_newest, read_run
from herl_bench.comparison.run_records import measure_spending
from herl_bench.errors import SaveError, UsageError
from herl_bench.evaluation.result_files import NAMESPACE, sanitize_name
from herl_bench.reading import read_json
from herl_bench.runs import CONFIG, MANIFEST, METRICS, RunFiles, read_config
from herl_bench.saving import digest_file, saving, write_whole

CLAIMS, RUBRIC = "bundle.json", "rubric.yaml"
FORMAT = 1
LABELS = ("before", "after")
RESULTS, SAMPLES = "results_*.json", "samples_*.jsonl"
COUNTS = ("tokens", "rollouts", "reward_calls", "optimizer_steps")
"""What a run spent, in `bundle.json` and in every step of its log."""
PARTS = re.compile(
    "|".join(map(re.escape, (CONFIG, MANIFEST, METRICS, RUBRIC)))
    + r"|final/(adapter_)?config\.json"
    + r"|eval/(before|after)/(results_[^/]*\.json|samples_[^/]*\.jsonl)"
)
"""The names of its files."""
FOLDERS = re.compile(r"(?<![\w./:~])(?:~|\.\.)?/(?:[^\s/'\"]+/)+")


def make_bundle(run: Path, target: Path) -> Path:
    """Copy what an entry consists of. Raises `UsageError` for a run that has not ended, or a target in use."""
    settings = read_run(run).settings
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not an empty folder: name another one")
    paths = [run / CONFIG, run / MANIFEST, run / METRICS, RunFiles(run).final_config]
    for label in LABELS:
        paths += [find_newest(RunFiles(run).evaluation(label), pattern) for pattern in (RESULTS, SAMPLES)]
    names = [str(path.relative_to(run)) for path in paths]
    with saving(target):
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_file(run / name, target / name)
        rubric = Path(str(settings.get("rubric") or ""))
        if rubric.suffix in (".yaml", ".yml"):
            if not rubric.is_file():
                raise SaveError(f"the run's rubric {rubric} is gone: an entry cannot be verified without it")
            shutil.copyfile(rubric, target / RUBRIC)
            names.append(RUBRIC)
    hashes = {name: digest_file(target / name) for name in sorted(names)}
    _write_json(target / CLAIMS, {"format": FORMAT, "entry": describe_claims(read_run(target)), "files": hashes})
    return target


def _copy_file(source: Path, target: Path) -> None:
    """As it is, prompts and answers to the byte; but a folder of this machine is named by its last part."""
    if source.name == CONFIG:
        import yaml

        settings = strip_folders(read_config(source.parent))
        write_whole(target, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    elif source.name in (MANIFEST, "adapter_config.json"):
        _write_json(target, strip_folders(read_json(source, strict=True)))
    elif source.match(RESULTS):
        results = read_json(source, strict=True)
        ours, name = results[NAMESPACE], strip_folders(results["model_name"])
        ours |= {key: strip_folders(ours[key]) for key in ("data", "config") if key in ours}
        results |= {"model_name": name, "model_name_sanitized": sanitize_name(name)}
        _write_json(target, results | {"config": strip_folders(results["config"])})
    else:
        shutil.copyfile(source, target)


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def strip_folders(value: Any) -> Any:
    """Paths to folders by their last part alone: what is published tells nothing of where it was made."""
    if isinstance(value, str):
        return FOLDERS.sub("", value)
    if isinstance(value, Mapping):
        return {key: strip_folders(inner) for key, inner in value.items()}
    return [strip_folders(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def describe_claims(run: FinishedRun) -> dict[str, Any]:
    """What an entry says, all of it taken from the run's own files."""
    used, manifest = measure_spending(run), run.manifest
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "model": run.settings["model"],
        "base_model": manifest["base_model"]["sha256"],
        "data": {"source": manifest["data"]["source"], "sha256": manifest["data"]["sha256"]},
        "budget": run.settings["budget"],
        "spent": {name: getattr(used, name) for name in COUNTS},
        "scores": {label: getattr(run, label).summary["metrics"] for label in LABELS},
    }


def strip_bundle(bundle: Path, line: str) -> str:
    """The line without the way to the bundle, which stands before it."""
    return line.removeprefix(f"{bundle}: ").replace(f"{bundle}/", "")
