"""Write a task's samples while they are made: `samples_<task>_<stamp>.jsonl`, a row per item and filter as lm-eval's.

Samples are appended batch by batch to a file that ends in `.part` and gets its name once the results stand. A `.part`
file whose name carries a fingerprint of everything that the samples depend on is what a killed evaluation goes on from:
it is cut back to whole batches, and its rows are read instead of made again. Two processes cannot write one such file.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from herl_bench.errors import DataError, UsageError
from herl_bench.evaluation import result_files
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import Row
from herl_bench.evaluation.result_files import NAMESPACE, criterion_column, generation_kwargs, hash_text, list_filters
from herl_bench.evaluation.scores import PASS_AT, choose_pass_metrics, fill_undecided, mean, pass_at_k
from herl_bench.locate import find_version
from herl_bench.policy.answerer import Answer, Answerer, ResolvedSampling
from herl_bench.reading import parse_json
from herl_bench.saving import append_lines, cut, saving, sync
from herl_bench.types import Environment, Example, Judgement, Verdict


class SampleWriter:
    """Appends samples while they are made: pass `append` as `on_batch` to `evaluate`, then call `finish`.

    settings: they stand in every sample's `arguments`. samples: False drops the samples in the end.
    resume: a `fingerprint`; what is there of an earlier attempt with the same one is given by `restore`. model: whose
    `reads` stands in every sample's `arguments`, as what the model was given; without one, the plain prompt. pass_at:
    the k of pass@k. Left without `finish`, the samples so far stay in the `.part` file.
    """

    def __init__(
        self,
        directory: str | Path,
        environment: Environment,
        settings: ResolvedSampling,
        *,
        samples: bool = True,
        resume: str = "",
        model: Answerer | None = None,
        pass_at: Sequence[int] = PASS_AT,
    ):
        self.directory, self.samples = Path(directory), samples
        self.environment, self.settings = environment, settings
        self.part = self.directory / f"samples_{environment.task.name}_{resume or result_files.new_stamp()}.jsonl.part"
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
            what = "another process is writing this very evaluation"
            raise UsageError(f"{self.part}: {what}: wait for it, or stop it") from None

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def restore(self, examples: Sequence[Example], batch_items: int) -> list[Row]:
        """The rows of the whole batches that an earlier attempt wrote; the rest is cut off. batch_items: of each."""
        filters = len(list_filters(self.environment.metrics))
        rows: list[Row] = []
        fresh: list[Row] = []
        hashes: list[str] = []
        position = whole = 0
        with self.part.open("rb") as file:
            for number, line in enumerate(file):
                position += len(line)
                item, nth_filter = divmod(number, filters)
                try:
                    sample = parse_json(line, str(self.part))
                    if item >= len(examples) or sample["doc_id"] != item or not line.endswith(b"\n"):
                        break
                    if nth_filter == 0:
                        fresh += _restore_rows(sample, examples[item])
                    hashes.append(_join_hashes(sample))
                except (DataError, KeyError, TypeError):  # a torn line
                    break
                if nth_filter == filters - 1 and ((item + 1) % batch_items == 0 or item + 1 == len(examples)):
                    rows += fresh
                    self._hashes += hashes
                    fresh, hashes, whole = [], [], position
        cut(self.part, whole)
        return rows

    def append(self, rows: Sequence[Row]) -> None:
        """Write these rows' samples. All responses of an item must come in one call."""
        items = [list(group) for _, group in groupby(rows, key=lambda row: row.doc_id)]
        samples = [sample for item in items for sample in self._make_samples(item)]
        self._hashes += map(_join_hashes, samples)
        append_lines(self.part, samples)

    def finish(
        self, evaluation: Evaluation, *, model_name: str, config: Mapping[str, Any] | None = None
    ) -> tuple[Path, Path]:
        """Write the results of this one task, and give the samples file its name."""
        stamp = result_files.new_stamp(self.directory)
        results = result_files.write_results(
            self.directory,
            stamp,
            [self.section(evaluation)],
            model_name=model_name,
            config=config,
            settings=evaluation.settings,
            started=self._started,
        )
        return results, self.keep(stamp)

    def section(
        self, evaluation: Evaluation, *, original: int | None = None, data: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `describe_task`."""
        task_hash = hash_text("".join(self._hashes))
        return result_files.describe_task(evaluation, self.environment, task_hash, original=original, data=data)

    def keep(self, stamp: str) -> Path:
        """The samples get their name; called once the results stand, so that a stop in between loses nothing."""
        path = self.directory / f"samples_{self.environment.task.name}_{stamp}.jsonl"
        with saving(path):
            if self.samples:
                os.fsync(self._lock.fileno())
                self.part.replace(path)
                sync(self.directory)
            else:
                self.part.unlink()
        return path

    def _make_samples(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """Of one item. lm-eval writes one row per item and filter; our own column goes with the first."""
        example, metrics = rows[0].example, self.environment.metrics
        doc, prompt = result_files.as_doc(example), self.settings.prefix + example.prompt
        if self.model is not None:
            prompt = self.model.reads(prompt, self.settings.instruction)
        responses = [row.response for row in rows]
        ours = {NAMESPACE: {"id": example.id, "responses": list(map(_describe_response, rows))}}
        for position, filter_name in enumerate(list_filters(metrics)):
            values = {
                metric.name: _average([row.judgement.metrics.get(metric.key) for row in rows], metric.higher_is_better)
                for metric in metrics
                if metric.filter == filter_name
            }
            values |= {name: value for name, f, value in self._estimate_pass_at(rows) if f == filter_name}
            for criterion in self.environment.rubric.criteria if filter_name == "none" else ():
                met = [row.judgement.criteria.get(criterion.name) for row in rows]
                values[criterion_column(criterion.name)] = mean(met)
            yield {
                "doc_id": rows[0].doc_id,
                "doc": doc,
                "target": example.target,
                "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": generation_kwargs(vars(self.settings))}},
                "resps": [responses],
                "filtered_resps": responses,
                "filter": filter_name,
                "metrics": list(values),
                "doc_hash": hash_text(json.dumps(doc, indent=2, ensure_ascii=False)),
                "prompt_hash": hash_text(prompt),
                "target_hash": hash_text(example.target),
                **values,
                **(ours if position == 0 else {}),
            }

    def _estimate_pass_at(self, rows: Sequence[Row]) -> Iterator[tuple[str, str, float | None]]:
        """pass@k of one item, for every k that there are responses for."""
        metrics = self.environment.metrics
        for i in choose_pass_metrics([metric.name for metric in metrics]):
            metric = metrics[i]
            values = [v for row in rows if (v := row.judgement.metrics.get(metric.key)) is not None]
            for k in self.pass_at:
                if k <= len(rows) and all(v in (0.0, 1.0) for v in values) and f"pass@{k}" != metric.name:
                    yield f"pass@{k}", metric.filter, pass_at_k(len(rows), round(sum(values)), k) if values else None


def fingerprint(
    model: Mapping[str, Any], environment: Environment, asked: Mapping[str, Any], items: str, rules: Mapping[str, Any]
) -> str:
    """Equal only where one evaluation can go on from the other's samples. model: its identity. asked: how it is, and
    rules: how its answers are judged, besides the environment. items: a digest."""
    rubric = environment.rubric
    judged_by = [
        rubric.name,
        [(c.name, c.text, c.weight, repr(sorted(getattr(c.check, "keywords", {}).items()))) for c in rubric.criteria],
        [metric.key for metric in environment.metrics],
        dict(rules),
        find_version("herl-bench"),
    ]
    everything = [model, environment.task.name, judged_by, asked, items]
    return hash_text(json.dumps(everything, sort_keys=True, default=str))[:12]


def _describe_response(row: Row) -> dict[str, Any]:
    return {
        **{name: value for name, value in asdict(row.answer).items() if name != "text"},
        "extracted": row.extracted,
        "reward": row.judgement.reward,
        "metrics": dict(row.judgement.metrics),
        # Where in the response a part begins is for those who revise it, and is found again by judging.
        "verdicts": [{k: v for k, v in asdict(verdict).items() if k != "at"} for verdict in row.judgement.verdicts],
        "status": row.judgement.status,
        "integrity": row.judgement.integrity,
        "errors": list(row.errors),
    }


def _restore_rows(sample: Mapping[str, Any], example: Example) -> Iterator[Row]:
    ours = sample[NAMESPACE]
    if ours["id"] != example.id:
        raise ValueError(ours["id"])
    for i, (text, fields) in enumerate(zip(sample["resps"][0], ours["responses"], strict=True)):
        answer = Answer(text, fields["finish"], fields["tokens"], fields["dropped"], fields["error"])
        verdicts = tuple(Verdict(**v) for v in fields["verdicts"])
        integrity = fields.get("integrity", "")
        judgement = Judgement(verdicts, fields["reward"], fields["metrics"], fields["status"], integrity)
        yield Row(example, sample["doc_id"], i, answer, judgement, fields["extracted"], tuple(fields["errors"]))


def _join_hashes(sample: Mapping[str, Any]) -> str:
    return f"{sample['doc_hash']}{sample['prompt_hash']}{sample['target_hash']}"


def _average(values: Sequence[float | None], higher_is_better: bool) -> float | None:
    """Over an item's responses, the undecided ones as in every mean; None where none was decided."""
    return mean(fill_undecided(values, higher_is_better)) if any(v is not None for v in values) else None
