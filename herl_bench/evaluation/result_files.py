"""Results as lm-eval writes them: `results_<stamp>.json`, what stands in it, and reading it back.

Whatever reads lm-eval's files reads these: metrics as `name,filter`, every criterion as the column
`criterion_<name>,none`, and what lm-eval has no place for under the one key `herl_bench`. The file appears whole or not
at all. Apart from lm-eval's own date and duration nothing in it depends on the clock or the machine.

Left out: lm-eval itself (its import takes seconds), git hashes, and the long description of the hardware.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.tally import Problem, Summary
from herl_bench.locate import find_version
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.reading import read_json
from herl_bench.saving import write_whole
from herl_bench.types import Environment, Example, Metric

VERSION = 1.0
STAMP = re.compile(r"_(\d{4}-\d\d-\d\d)T(\d\d-\d\d-\d\d(?:\.\d+)?)\.")
NAMESPACE = "herl_bench"
MODEL_FACTS = ("device", "model_num_parameters", "model_dtype", "model_revision", "model_sha")
LM_EVAL_CONFIG: Mapping[str, Any] = {
    **dict.fromkeys(("batch_size", "batch_sizes", "device", "use_cache", "limit", "bootstrap_iters", "gen_kwargs")),
    **dict.fromkeys(("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")),
    "batch_sizes": [],
    "bootstrap_iters": 0,
}
"""What lm-eval's `config` holds, in its order, where nothing else is said."""


# -------------------------------------------------------------------------------------------------------------- reading
def read_summary(folder: str | Path) -> dict[str, Any]:
    """What the newest results file in `folder` says of its task, with the fields of `Summary`. Raises `UsageError`."""
    return _read_ours(folder, "summary")


def read_problems(folder: str | Path) -> dict[str, Problem]:
    """What kept responses from being judged, of the same file, by kind. Files of older versions say nothing."""
    return {kind: Problem(**problem) for kind, problem in _read_ours(folder, "problems", {"": {}}).items()}


def _read_ours(folder: str | Path, what: str, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Of the one task in the newest results file."""
    found = sorted(Path(folder).glob("results_*.json"))
    if not found:
        raise UsageError(f"{folder}: no results_*.json there: nothing was evaluated into it")
    try:
        ours = read_json(found[-1])[NAMESPACE]
        (of_task,) = (ours[what] if default is None else ours.get(what) or default).values()
        return dict(of_task)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{found[-1]}: not a results file that herl-bench wrote") from None


# -------------------------------------------------------------------------------------------------------------- writing
def describe_task(
    evaluation: Evaluation,
    environment: Environment,
    task_hash: str,
    *,
    original: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One task in a results file, by lm-eval's keys. task_hash: of its samples. original: items before any limit.
    data: where they came from."""
    task, summary, settings, name = environment.task, evaluation.summary, evaluation.settings, environment.task.name
    directions = {metric.key: metric.higher_is_better for metric in environment.metrics}
    better = {key.rpartition(",")[0]: directions.get(key, True) for key in summary.metrics}
    better |= {criterion_column(criterion.name): True for criterion in environment.rubric.criteria}
    thoughts = {"think": "keep"} if environment.think == "keep" else {}
    return {
        "results": {name: {"name": name, "alias": name, "sample_len": summary.items, **scores_by_key(summary)}},
        "group_subtasks": {name: []},
        "configs": {
            name: {
                "task": name,
                "description": task.description,
                "output_type": "generate_until",
                "doc_to_text": "{{prompt}}",
                "doc_to_target": "{{target}}",
                "num_fewshot": settings.num_fewshot,
                "repeats": settings.n,
                "metric_list": [
                    {"metric": column, "aggregation": "mean", "higher_is_better": higher}
                    for column, higher in better.items()
                ],
                "generation_kwargs": generation_kwargs(vars(settings)),
                "metadata": {"version": VERSION},
            }
        },
        "versions": {name: VERSION},
        "n-shot": {name: settings.num_fewshot},
        "higher_is_better": {name: better},
        "n-samples": {name: {"original": original or summary.items, "effective": summary.items}},
        "task_hashes": {name: task_hash},
        NAMESPACE: {
            "summary": {name: asdict(summary)},
            "problems": {name: {kind: asdict(problem) for kind, problem in evaluation.problems.items()}},
            "rubric": {name: environment.rubric.name},
            "settings": {name: {k: v for k, v in vars(settings).items() if k != "chat_template"} | thoughts},
            "data": {name: dict(data or {})},
        },
    }


def write_results(
    directory: str | Path,
    stamp: str,
    sections: Sequence[Mapping[str, Any]],
    *,
    model_name: str,
    model_args: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    settings: ResolvedSampling,
    started: float,
) -> Path:
    """Write `results_<stamp>.json` of all `sections` (see `describe_task`; parts of lm-eval's own results fit too).

    config: lm-eval's own keys go to its `config`, others to ours. facts: what else stands at the top (see
    `describe_model`). settings: of the first task. started: `time.time()` at the start.
    """
    merged: dict[str, Any] = {}
    for section in sections:
        for key, value in section.items():
            merged[key] = _merge(merged.get(key, {}), value)
    ours = merged.pop(NAMESPACE, {})
    given, facts = dict(config or {}), dict(facts or {})
    known = {*LM_EVAL_CONFIG, "model", *MODEL_FACTS}
    results = {
        **merged,
        "config": {
            "model": "herl-bench",
            "model_args": dict(model_args or {"pretrained": model_name}),
            **LM_EVAL_CONFIG,
            "gen_kwargs": generation_kwargs(vars(settings)),
            "torch_seed": settings.seed,
            **{key: facts.pop(key) for key in MODEL_FACTS if key in facts},
            **{key: given.pop(key) for key in list(given) if key in known},
        },
        "git_hash": None,
        "date": started,
        "pretty_env_info": None,
        "transformers_version": find_version("transformers") or "N/A",
        "lm_eval_version": find_version("lm_eval") or "N/A",
        "upper_git_hash": None,
        "model_source": "herl-bench",
        "model_name": model_name,
        "model_name_sanitized": sanitize_name(model_name),
        **describe_prompts(settings.instruction or None, settings.chat_template),
        "total_evaluation_time_seconds": str(time.time() - started),
        **facts,
        NAMESPACE: {"version": find_version("herl-bench"), **ours, "config": given},
    }
    path = Path(directory) / f"results_{stamp}.json"
    write_whole(path, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return path


def _merge(left: Any, right: Any) -> Any:
    if not isinstance(right, Mapping):
        return right
    return {**left, **{key: _merge(left.get(key, {}), value) for key, value in right.items()}}


def describe_prompts(instruction: str | None, template: Any, multiturn: bool = False) -> dict[str, Any]:
    """What stands at the top of lm-eval's results about the prompts. template: of the chat."""
    return {
        "system_instruction": instruction,
        "system_instruction_sha": hash_text(instruction) if instruction else None,
        "fewshot_as_multiturn": multiturn,
        "chat_template": template,
        "chat_template_sha": hash_text(str(template)) if template else None,
    }


def describe_model(answerer: Any) -> dict[str, Any]:
    """What lm-eval's results say of a local model and its tokenizer; nothing of a server."""
    if not hasattr(answerer, "tokenizer"):
        return {}
    model, tokenizer = answerer.model, answerer.tokenizer
    return {
        "device": str(answerer.device),
        "model_num_parameters": sum(p.numel() for p in model.parameters()),
        "model_dtype": str(model.dtype),
        "model_revision": "main",
        "model_sha": getattr(model.config, "_commit_hash", None) or "",
        **{
            f"tokenizer_{n}_token": [getattr(tokenizer, f"{n}_token"), str(getattr(tokenizer, f"{n}_token_id"))]
            for n in ("pad", "eos", "bos")
        },
        "eot_token_id": tokenizer.eos_token_id,
        "max_length": answerer.max_length,
    }


def new_stamp(folder: Path | None = None) -> str:
    """As lm-eval's files carry it, and later than any in the folder, whatever became of the clock."""
    now = datetime.now()
    for path in folder.glob("*_*.json*") if folder is not None else ():
        found = STAMP.search(path.name)
        with suppress(ValueError, OverflowError):
            if found is not None:
                day, time_of_day = found[1], found[2].replace("-", ":")
                # by name a whole second sorts behind all of its fractions
                step = timedelta(microseconds=1) if "." in time_of_day else timedelta(seconds=1)
                now = max(now, datetime.fromisoformat(f"{day}T{time_of_day}") + step)
    return now.isoformat(timespec="microseconds").replace(":", "-")


# ------------------------------------------------------------------------------------------------------ lm-eval's words
def as_doc(example: Example) -> dict[str, Any]:
    """An example as lm-eval's `doc`."""
    return {"id": example.id, "prompt": example.prompt, "target": example.target, "info": dict(example.info)}


def generation_kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """settings: a `ResolvedSampling` as a mapping, as results files hold it."""
    temperature = settings.get("temperature", 0.0)
    return {
        "until": list(settings.get("stop", ())),
        "do_sample": temperature > 0,
        "temperature": temperature,
        "max_gen_toks": settings.get("max_new_tokens"),
    }


def criterion_column(name: str) -> str:
    return f"criterion_{name}"


def list_filters(metrics: Sequence[Metric]) -> list[str]:
    """The metrics' filters in order, and `none` for the criteria."""
    return list(dict.fromkeys([*(metric.filter for metric in metrics), "none"]))


def scores_by_key(summary: Summary) -> dict[str, float | str]:
    """Value and standard error of every metric and criterion by lm-eval's keys; "N/A" where there is none."""
    named = {**summary.metrics, **{f"{criterion_column(name)},none": score for name, score in summary.criteria.items()}}
    found: dict[str, float | str] = {}
    for key, score in named.items():
        metric, _, filter_name = key.rpartition(",")
        for column, number in ((key, score.value), (f"{metric}_stderr,{filter_name}", score.stderr)):
            found[column] = "N/A" if number is None else number
    return found


def sanitize_name(model_name: str) -> str:
    """As a folder name, by lm-eval's own rule; of a path with dots in it (`../x`), the folder that it leads to."""
    if not {".", ".."}.isdisjoint(model_name.split("/")):
        model_name = Path(model_name).resolve().name or "model"
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model_name)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
