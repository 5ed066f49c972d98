"""Write an evaluation as lm-eval does: `results_<stamp>.json` and `samples_<task>_<stamp>.jsonl`.

Whatever reads lm-eval's files reads these: metrics as `name,filter`, every criterion as the column
`criterion_<name>,none`, and what lm-eval has no place for under the one key `herl_bench`. Samples are appended batch by
batch to a file that ends in `.part` and gets its name once the results stand; the results file appears whole or not at
all. Apart from lm-eval's own date and duration nothing in them depends on the clock or the machine.

A `.part` file whose name carries a fingerprint of everything that the samples depend on is what a killed evaluation
goes on from: it is cut back to whole batches, and its rows are read instead of made again. Two processes cannot write
one such file.

Left out: lm-eval itself (its import takes seconds), git hashes, and the long description of the hardware.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from herl_bench.errors import DataError, UsageError
from herl_bench.evaluate.evaluation import PASS_AT, Evaluation, Row, Summary, pass_at_k, pass_metrics
from herl_bench.locate import find_version
from herl_bench.policy.answerer import Answer, Answerer
from herl_bench.reading import parse_json, read_json
from herl_bench.saving import append_lines, cut, saving, sync, write_whole
from herl_bench.types import Example, Judgement, Metric, Rubric, Task, Verdict

VERSION = 1.0
STAMP = re.compile(r"_(\d{4}-\d\d-\d\d)T(\d\d-\d\d-\d\d(?:\.\d+)?)\.")
NAMESPACE = "herl_bench"
LM_EVAL_CONFIG: Mapping[str, Any] = {
    "batch_size": None,
    "batch_sizes": [],
    "device": None,
    "use_cache": None,
    "limit": None,
    "bootstrap_iters": 0,
    "gen_kwargs": None,
    "random_seed": None,
    "numpy_seed": None,
    "torch_seed": None,
    "fewshot_seed": None,
}


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
    return _said(folder, "summary")


def read_problems(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What kept responses from being judged, of the same file: `Problem`s as mappings, by kind. Files of older versions
    say nothing."""
    return _said(folder, "problems", {"": {}})


def _said(folder: str | Path, what: str, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Of the one task in the newest results file."""
    found = sorted(Path(folder).glob("results_*.json"))
    if not found:
        raise UsageError(f"{folder}: no results_*.json there: nothing was evaluated into it")
    try:
        ours = read_json(found[-1])[NAMESPACE]
        (said,) = (ours[what] if default is None else ours.get(what) or default).values()
        return dict(said)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{found[-1]}: not a results file that herl-bench wrote") from None


# --------------------------------------------------------------------------------------------------- one task's samples
class Writer:
    """Appends samples while they are made: pass `append` as `on_batch` to `evaluate`, then call `finish`.

    settings: as from `sampling_settings`; they stand in every sample's `arguments`. samples: False drops the samples in
    the end.
    resume: a `fingerprint`; what is there of an earlier attempt with the same one is given by `restore`. model: whose
    `reads` stands in every sample's `arguments`, as what the model was given; without one, the plain prompt. pass_at:
    the k of pass@k. Left without `finish`, the samples so far stay in the `.part` file.
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
        resume: str = "",
        model: Answerer | None = None,
        pass_at: Sequence[int] = PASS_AT,
    ):
        self.directory, self.samples = Path(directory), samples
        self.task, self.rubric, self.metrics, self.settings = task, rubric, tuple(metrics), dict(settings or {})
        self.part = self.directory / f"samples_{task.name}_{resume or new_stamp()}.jsonl.part"
        self.model, self.pass_at = model, tuple(pass_at)
        self._started = time.time()
        self._hashes: list[str] = []
        with saving(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = self.part.open("ab" if resume else "wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UsageError(
                f"{self.part}: another process is writing this very evaluation: wait for it, or stop it"
            ) from None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def restore(self, examples: Sequence[Example], items_per_batch: int) -> list[Row]:
        """The rows of the whole batches that an earlier attempt wrote; whatever comes after them is cut off."""
        filters = len(filters_of(self.metrics))
        rows: list[Row] = []
        fresh: list[Row] = []
        hashes: list[str] = []
        position = whole = 0
        with self.part.open("rb") as file:
            for number, line in enumerate(file):
                position += len(line)
                item = number // filters
                try:
                    sample = parse_json(line, str(self.part))
                    if item >= len(examples) or sample["doc_id"] != item or not line.endswith(b"\n"):
                        break
                    if number % filters == 0:
                        fresh += _restored(sample, examples[item])
                    hashes.append(_hashes(sample))
                except (DataError, KeyError, TypeError):  # a torn line
                    break
                if number % filters == filters - 1 and ((item + 1) % items_per_batch == 0 or item + 1 == len(examples)):
                    rows += fresh
                    self._hashes += hashes
                    fresh, hashes, whole = [], [], position
        cut(self.part, whole)
        return rows

    def append(self, rows: Sequence[Row]) -> None:
        """Write these rows' samples. All responses of an item must come in one call."""
        samples = [
            sample for _, group in groupby(rows, key=lambda row: row.doc_id) for sample in self._samples(list(group))
        ]
        self._hashes += map(_hashes, samples)
        append_lines(self.part, samples)

    def finish(
        self,
        evaluation: Evaluation,
        *,
        model_name: str,
        model_args: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> tuple[Path, Path]:
        """Write the results of this one task, and give the samples file its name."""
        stamp = new_stamp(self.directory)
        results = write_results(
            self.directory,
            stamp,
            [self.section(evaluation)],
            model_name=model_name,
            model_args=model_args,
            config=config,
            settings=evaluation.settings,
            started=self._started,
        )
        return results, self.keep(stamp)

    def keep(self, stamp: str) -> Path:
        """The samples get their name; called once the results stand, so that a stop in between loses nothing."""
        path = self.directory / f"samples_{self.task.name}_{stamp}.jsonl"
        with saving(path):
            if self.samples:
                os.fsync(self._lock.fileno())
                self.part.replace(path)
                sync(self.directory)
            else:
                self.part.unlink()
        return path

    def _samples(self, rows: list[Row]) -> Iterator[dict[str, Any]]:
        """lm-eval writes one row per item and filter; our own column goes with the first."""
        example = rows[0].example
        doc, prompt = doc_of(example), self.settings.get("prefix", "") + example.prompt
        if self.model is not None:
            prompt = self.model.reads(prompt, self.settings.get("instruction", ""))
        responses = [row.response for row in rows]
        criteria = {
            column: _mean(rows, lambda row, name=name: row.judgement.criteria.get(name))
            for name, column in _columns(self.rubric)
        }
        ours = [
            {
                **{name: value for name, value in asdict(row.answer).items() if name != "text"},
                "extracted": row.extracted,
                "reward": row.judgement.reward,
                "metrics": dict(row.judgement.metrics),
                "verdicts": [asdict(v) for v in row.judgement.verdicts],
                "status": row.judgement.status,
                "integrity": row.judgement.integrity,
                "errors": list(row.errors),
            }
            for row in rows
        ]
        for position, filter_name in enumerate(filters_of(self.metrics)):
            values = {
                m.name: _mean(rows, lambda row, m=m: row.judgement.metrics.get(m.key), wrong=m.higher_is_better)
                for m in self.metrics
                if m.filter == filter_name
            }
            values |= {name: value for name, f, value in self._pass_values(rows) if f == filter_name}
            if filter_name == "none":
                values |= criteria
            yield {
                "doc_id": rows[0].doc_id,
                "doc": doc,
                "target": example.target,
                "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": generation_kwargs(self.settings)}},
                "resps": [responses],
                "filtered_resps": responses,
                "filter": filter_name,
                "metrics": list(values),
                "doc_hash": _sha(json.dumps(doc, indent=2, ensure_ascii=False)),
                "prompt_hash": _sha(prompt),
                "target_hash": _sha(example.target),
                **values,
                **({NAMESPACE: {"id": example.id, "responses": ours}} if position == 0 else {}),
            }

    def _pass_values(self, rows: list[Row]) -> Iterator[tuple[str, str, float | None]]:
        """pass@k of one item, for every k that there are responses for."""
        for i in pass_metrics([m.name for m in self.metrics]):
            metric = self.metrics[i]
            values = [v for row in rows if (v := row.judgement.metrics.get(metric.key)) is not None]
            for k in self.pass_at:
                if k <= len(rows) and all(v in (0.0, 1.0) for v in values) and f"pass@{k}" != metric.name:
                    yield f"pass@{k}", metric.filter, pass_at_k(len(rows), round(sum(values)), k) if values else None

    def section(
        self, evaluation: Evaluation, *, original: int | None = None, data: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a results file says of this task, by lm-eval's keys. original: items before any limit. data: where they
        came from."""
        summary, settings, name = evaluation.summary, evaluation.settings, self.task.name
        scores: dict[str, Any] = {"name": name, "alias": name, "sample_len": summary.items}
        better: dict[str, bool] = {}
        scores |= scores_by_key(summary)
        for key in summary.metrics:
            better[key.rpartition(",")[0]] = next((m.higher_is_better for m in self.metrics if m.key == key), True)
        for _, column in _columns(self.rubric):
            better[column] = True
        return {
            "results": {name: scores},
            "group_subtasks": {name: []},
            "configs": {
                name: {
                    "task": name,
                    "description": self.task.description,
                    "output_type": "generate_until",
                    "doc_to_text": "{{prompt}}",
                    "doc_to_target": "{{target}}",
                    "num_fewshot": settings.get("num_fewshot", 0),
                    "repeats": settings.get("n", 1),
                    "metric_list": [
                        {"metric": m, "aggregation": "mean", "higher_is_better": up} for m, up in better.items()
                    ],
                    "generation_kwargs": generation_kwargs(settings),
                    "metadata": {"version": VERSION},
                }
            },
            "versions": {name: VERSION},
            "n-shot": {name: settings.get("num_fewshot", 0)},
            "higher_is_better": {name: better},
            "n-samples": {name: {"original": original or summary.items, "effective": summary.items}},
            "task_hashes": {name: _sha("".join(self._hashes))},
            NAMESPACE: {
                "summary": {name: asdict(summary)},
                "problems": {name: {kind: asdict(problem) for kind, problem in evaluation.problems.items()}},
                "rubric": {name: self.rubric.name},
                "settings": {name: {key: value for key, value in settings.items() if key != "chat_template"}},
                "data": {name: dict(data or {})},
            },
        }


# ----------------------------------------------------------------------------------------------------- the results file
def write_results(
    directory: str | Path,
    stamp: str,
    sections: Sequence[Mapping[str, Any]],
    *,
    model_name: str,
    model_args: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any],
    started: float,
) -> Path:
    """Write `results_<stamp>.json` of all `sections` (see `Writer.section`; parts of lm-eval's own results fit too) and
    give its path.

    config: lm-eval's own keys go to its `config`, others to ours. facts: what else stands at the top (see
    `model_facts`).
    settings: as from `sampling_settings`, of the first task. started: `time.time()` at the start.
    """
    merged: dict[str, Any] = {}
    for section in sections:
        for key, value in section.items():
            merged[key] = _merged(merged.get(key, {}), value)
    ours = merged.pop(NAMESPACE, {})
    given, facts = dict(config or {}), dict(facts or {})
    instruction, template = settings.get("instruction") or None, settings.get("chat_template")
    known = {*LM_EVAL_CONFIG, "model", *MODEL_FACTS}
    results = {
        **merged,
        "config": {
            "model": "herl-bench",
            "model_args": dict(model_args or {"pretrained": model_name}),
            **LM_EVAL_CONFIG,
            "gen_kwargs": generation_kwargs(settings),
            "torch_seed": settings.get("seed"),
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
        "model_name_sanitized": sanitized(model_name),
        "system_instruction": instruction,
        "system_instruction_sha": _sha(instruction) if instruction else None,
        "fewshot_as_multiturn": False,
        "chat_template": template,
        "chat_template_sha": _sha(template) if template else None,
        "total_evaluation_time_seconds": str(time.time() - started),
        **facts,
        NAMESPACE: {"version": find_version("herl-bench"), **ours, "config": given},
    }
    path = Path(directory) / f"results_{stamp}.json"
    write_whole(path, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return path


def _merged(left: Any, right: Any) -> Any:
    return (
        {**left, **{key: _merged(left.get(key, {}), value) for key, value in right.items()}}
        if isinstance(right, Mapping)
        else right
    )


MODEL_FACTS = ("model_num_parameters", "model_dtype", "model_revision", "model_sha")


def model_facts(answerer: Any) -> dict[str, Any]:
    """What lm-eval's results say of a local model and its tokenizer; nothing of a server."""
    if not hasattr(answerer, "tokenizer"):
        return {}
    model, tokenizer = answerer.model, answerer.tokenizer
    return {
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
    """As lm-eval's files carry it, and later than any in the folder: the last one written is the newest, whatever
    became of the clock."""
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


def fingerprint(
    model: Mapping[str, Any],
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    settings: Mapping[str, Any],
    items: str,
    how: Mapping[str, Any] | None = None,
) -> str:
    """Equal only where one evaluation can go on from the other's samples. model: its `identity`. items: their digest.
    how: of the judging."""
    judged_by = [
        rubric.name,
        [(c.name, c.text, c.weight, repr(sorted(getattr(c.check, "keywords", {}).items()))) for c in rubric.criteria],
        [m.key for m in metrics],
        dict(how or {}),
        find_version("herl-bench"),
    ]
    return _sha(json.dumps([model, task.name, judged_by, settings, items], sort_keys=True, default=str))[:12]


def _restored(sample: Mapping[str, Any], example: Example) -> Iterator[Row]:
    ours = sample[NAMESPACE]
    if ours["id"] != example.id:
        raise ValueError(ours["id"])
    for i, (text, said) in enumerate(zip(sample["resps"][0], ours["responses"], strict=True)):
        answer = Answer(text, said["finish"], said["tokens"], said["dropped"], said["error"])
        verdicts = tuple(Verdict(**v) for v in said["verdicts"])
        judgement = Judgement(verdicts, said["reward"], said["metrics"], said["status"], said.get("integrity", ""))
        yield Row(example, sample["doc_id"], i, answer, judgement, said["extracted"], tuple(said["errors"]))


def _hashes(sample: Mapping[str, Any]) -> str:
    return f"{sample['doc_hash']}{sample['prompt_hash']}{sample['target_hash']}"


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
    """As a folder name, by lm-eval's own rule; of a path with dots in it (`../x`), the folder that it leads to."""
    if not {".", ".."}.isdisjoint(model_name.split("/")):
        model_name = Path(model_name).resolve().name or "model"
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model_name)


def _columns(rubric: Rubric) -> list[tuple[str, str]]:
    return [(c.name, criterion_column(c.name)) for c in rubric.criteria]


def filters_of(metrics: Sequence[Metric]) -> list[str]:
    """The metrics' filters in order, and `none` for the criteria."""
    return list(dict.fromkeys([*(m.filter for m in metrics), "none"]))


def _mean(rows: Sequence[Row], value: Any, *, wrong: bool = False) -> float | None:
    """Over the decided responses of an item, None where there are none. wrong: others count as 0, or as the worst where
    that is below."""
    decided = [float(v) for row in rows if (v := value(row)) is not None]
    if not decided:
        return None
    missing = len(rows) - len(decided) if wrong else 0
    return (sum(decided) + missing * min(0.0, *decided)) / (len(decided) + missing)


def scores_by_key(summary: Summary) -> dict[str, float | str]:
    """Value and standard error of every metric and criterion by lm-eval's keys; "N/A" where there is none."""
    named = {**summary.metrics, **{f"{criterion_column(name)},none": score for name, score in summary.criteria.items()}}
    found: dict[str, float | str] = {}
    for key, score in named.items():
        metric, _, filter_name = key.rpartition(",")
        for column, number in ((key, score.value), (f"{metric}_stderr,{filter_name}", score.stderr)):
            found[column] = "N/A" if number is None else number
    return found


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
