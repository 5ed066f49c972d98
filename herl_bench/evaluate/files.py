"""Write an evaluation as lm-eval does: `results_<stamp>.json` and `samples_<task>_<stamp>.jsonl`.

Whatever reads lm-eval's files reads these: metrics as `name,filter`, every criterion as the column `criterion_<name>,none`, and what
lm-eval has no place for under the one key `herl_bench`. Samples are appended batch by batch to a file that ends in `.part` and gets
its name when all are there; the results file appears whole or not at all. Apart from lm-eval's own date and duration nothing in them
depends on the clock or the machine.

Left out: lm-eval itself (its import takes seconds), git hashes, and the long description of the hardware.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from io import TextIOWrapper
from itertools import groupby
from pathlib import Path
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.evaluate.core import Evaluation, Row, Score
from herl_bench.saving import saving, write_whole
from herl_bench.types import Example, Metric, Rubric, Task

VERSION = 1.0
NAMESPACE = "herl_bench"
LM_EVAL_CONFIG: Mapping[str, Any] = {
    "batch_size": None, "batch_sizes": [], "device": None, "use_cache": None, "limit": None, "bootstrap_iters": 0, "gen_kwargs": None,
    "random_seed": None, "numpy_seed": None, "torch_seed": None, "fewshot_seed": None,
}  # fmt: skip


def write_evaluation(
    evaluation: Evaluation,
    directory: str | Path,
    *,
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    model_name: str,
    model_args: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write a finished evaluation; gives the paths of the results and the samples file. Raises `SaveError`."""
    with Writer(directory, task=task, rubric=rubric, metrics=metrics, settings=evaluation.settings) as writer:
        writer.append(evaluation.rows)
        return writer.finish(evaluation, model_name=model_name, model_args=model_args, config=config)


def read_summary(folder: str | Path) -> dict[str, Any]:
    """What the newest results file in `folder` says of its task, with the fields of `Summary`. Raises `UsageError`."""
    found = sorted(Path(folder).glob("results_*.json"))
    if not found:
        raise UsageError(f"{folder}: no results_*.json there: nothing was evaluated into it")
    try:
        summaries = json.loads(found[-1].read_text(encoding="utf-8"))[NAMESPACE]["summary"]
        (summary,) = summaries.values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{found[-1]}: not a results file that herl-bench wrote") from None
    return dict(summary)


class Writer:
    """Appends samples while they are made: pass `append` as `on_batch` to `evaluate`, then call `finish`.

    settings: as from `sampling_settings`; they stand in every sample's `arguments`. samples: False writes the results file alone.
    Left without `finish`, the samples so far stay in the `.part` file.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        task: Task,
        rubric: Rubric,
        metrics: Sequence[Metric],
        settings: Mapping[str, Any] | None = None,
        samples: bool = True,
    ):
        self.directory = Path(directory)
        self.task, self.rubric, self.metrics, self.settings = task, rubric, tuple(metrics), dict(settings or {})
        stamp = datetime.now().isoformat().replace(":", "-")
        self.results = self.directory / f"results_{stamp}.json"
        self.samples = self.directory / f"samples_{task.name}_{stamp}.jsonl"
        self._part = self.samples.with_name(self.samples.name + ".part")
        self._started, self._date = time.perf_counter(), time.time()
        self._hashes: list[str] = []
        with saving(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._file: TextIOWrapper | None = self._part.open("w", encoding="utf-8") if samples else None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with saving(self._part):
                self._file.close()

    def append(self, rows: Sequence[Row]) -> None:
        """Write these rows' samples. All responses of an item must come in one call."""
        with saving(self._part):
            for _, group in groupby(rows, key=lambda row: row.doc_id):
                for sample in self._samples(list(group)):
                    self._hashes.append(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"])
                    if self._file is not None:
                        self._file.write(json.dumps(sample, ensure_ascii=False) + "\n")
            if self._file is not None:
                self._file.flush()

    def finish(
        self,
        evaluation: Evaluation,
        *,
        model_name: str,
        model_args: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> tuple[Path, Path]:
        """Give the samples file its name and write the results. `config`: lm-eval's own keys go to its `config`, others to ours."""
        if self._file is not None:
            with saving(self.samples):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._part.replace(self.samples)
        results = self._results(evaluation, model_name, dict(model_args or {"pretrained": model_name}), dict(config or {}))
        write_whole(self.results, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        return self.results, self.samples

    def _samples(self, rows: list[Row]) -> Iterator[dict[str, Any]]:
        """lm-eval writes one row per item and filter; our own column goes with the first."""
        example = rows[0].example
        doc = doc_of(example)
        responses = [row.response for row in rows]
        criteria = {column: _mean(rows, lambda row, name=name: row.judgement.criteria.get(name)) for name, column in _columns(self.rubric)}
        ours = [
            {
                "finish": row.finish,
                "tokens": len(row.response_ids),
                "extracted": row.extracted,
                "reward": row.judgement.reward,
                "verdicts": [asdict(v) for v in row.judgement.verdicts],
                "errors": list(row.errors),
            }
            for row in rows
        ]
        for position, filter_name in enumerate(_filters(self.metrics)):
            values = {
                m.name: _mean(rows, lambda row, m=m: row.judgement.metrics.get(m.key)) for m in self.metrics if m.filter == filter_name
            }
            if filter_name == "none":
                values |= criteria
            yield {
                "doc_id": rows[0].doc_id,
                "doc": doc,
                "target": example.target,
                "arguments": {"gen_args_0": {"arg_0": example.prompt, "arg_1": generation_kwargs(self.settings)}},
                "resps": [responses],
                "filtered_resps": responses,
                "filter": filter_name,
                "metrics": list(values),
                "doc_hash": _sha(json.dumps(doc, indent=2, ensure_ascii=False)),
                "prompt_hash": _sha(example.prompt),
                "target_hash": _sha(example.target),
                **values,
                **({NAMESPACE: {"id": example.id, "responses": ours}} if position == 0 else {}),
            }

    def _results(self, evaluation: Evaluation, model_name: str, model_args: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
        summary, settings, name = evaluation.summary, evaluation.settings, self.task.name
        scores: dict[str, Any] = {"name": name, "alias": name, "sample_len": summary.items}
        for metric in self.metrics:
            scores |= _entry(metric.name, metric.filter, summary.metrics[metric.key])
        for criterion, column in _columns(self.rubric):
            scores |= _entry(column, "none", summary.criteria[criterion])
        better = {m.name: m.higher_is_better for m in self.metrics} | {column: True for _, column in _columns(self.rubric)}
        instruction, template = settings.get("instruction") or None, settings.get("chat_template")
        return {
            "results": {name: scores},
            "group_subtasks": {},
            "configs": {
                name: {
                    "task": name,
                    "description": self.task.description,
                    "output_type": "generate_until",
                    "doc_to_text": "{{prompt}}",
                    "doc_to_target": "{{target}}",
                    "num_fewshot": 0,
                    "repeats": settings.get("n", 1),
                    "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": up} for m, up in better.items()],
                    "generation_kwargs": generation_kwargs(settings),
                    "metadata": {"version": VERSION},
                }
            },
            "versions": {name: VERSION},
            "n-shot": {name: 0},
            "higher_is_better": {name: better},
            "n-samples": {name: {"original": config.pop("original_items", summary.items), "effective": summary.items}},
            "config": {
                "model": "herl-bench",
                "model_args": model_args,
                **LM_EVAL_CONFIG,
                "gen_kwargs": generation_kwargs(settings),
                "torch_seed": settings.get("seed"),
                **{key: config.pop(key) for key in list(config) if key in LM_EVAL_CONFIG},
            },
            "git_hash": None,
            "date": self._date,
            "pretty_env_info": None,
            "transformers_version": _version("transformers"),
            "lm_eval_version": _version("lm_eval"),
            "upper_git_hash": None,
            "task_hashes": {name: _sha("".join(self._hashes))},
            "model_source": "herl-bench",
            "model_name": model_name,
            "model_name_sanitized": sanitized(model_name),
            "system_instruction": instruction,
            "system_instruction_sha": _sha(instruction) if instruction else None,
            "fewshot_as_multiturn": False,
            "chat_template": template,
            "chat_template_sha": _sha(template) if template else None,
            "total_evaluation_time_seconds": str(time.perf_counter() - self._started),
            NAMESPACE: {
                "version": _version("herl-bench"),
                "rubric": self.rubric.name,
                "summary": {name: asdict(summary)},
                "settings": {key: value for key, value in settings.items() if key != "chat_template"},
                "config": config,
            },
        }


def doc_of(example: Example) -> dict[str, Any]:
    """An example as lm-eval's `doc`."""
    return {"id": example.id, "prompt": example.prompt, "target": example.target, "info": dict(example.info)}


def generation_kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    temperature = settings.get("temperature", 0.0)
    return {
        "until": list(settings.get("stop", ())),
        "do_sample": temperature > 0,
        "temperature": temperature,
        "max_gen_toks": settings.get("max_new_tokens"),
    }


def criterion_column(name: str) -> str:
    return f"criterion_{name}"


def sanitized(model_name: str) -> str:
    """As a folder name, by lm-eval's own rule."""
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model_name)


def _columns(rubric: Rubric) -> list[tuple[str, str]]:
    return [(c.name, criterion_column(c.name)) for c in rubric.criteria]


def _filters(metrics: Sequence[Metric]) -> list[str]:
    """The metrics' filters in order, and `none` for the criteria."""
    return list(dict.fromkeys([*(m.filter for m in metrics), "none"]))


def _mean(rows: Sequence[Row], value: Any) -> float | None:
    decided = [float(v) for row in rows if (v := value(row)) is not None]
    return sum(decided) / len(decided) if decided else None


def _entry(name: str, filter_name: str, score: Score) -> dict[str, Any]:
    value, stderr = ("N/A" if number is None else number for number in (score.value, score.stderr))
    return {f"{name},{filter_name}": value, f"{name}_stderr,{filter_name}": stderr}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "N/A"
