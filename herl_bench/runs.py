"""A run's directory: the one module that knows what its files are called, who writes each, and how to read them back.

    RUN/
      config.yaml      every setting, resolved; `herl-bench run --config` takes it as it is
      manifest.json    versions, plugins, hardware, data hashes, leakage gate, base model's hash, command
      metrics.jsonl    one row per step; every name is documented in `training/metrics.py`
      rollouts.jsonl   every response: prompt, text, verdicts, reward, kind, guidance
      checkpoints/     step-000005/state.pt and sums.json, the newest two
      final/           the trained policy as a Hugging Face checkpoint, and the critics
      eval/            before/ and after/, each in lm-eval's results and samples schema
      report.html      the run's page

Only a training run (`training/training_run.py`) and what begins or ends one write here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, SupportsIndex, overload

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten, neutralize
from herl_bench.reading import check_regular, parse_json, read_json, read_lines, read_rows, read_yaml_mapping

CONFIG, MANIFEST, METRICS, ROLLOUTS, REPORT = (
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "rollouts.jsonl",
    "report.html",
)
SHOWN_ROWS, SHOWN_CHARACTERS = 20, 100
SHOWN_COLUMNS = ("step", "tokens", "kind", "reward", "metric", "kl", "revisions", "tokens_per_s", "prompt", "response")
"""What a notebook shows of a table, which may be wide: of steps, or of responses."""


@dataclass(frozen=True)
class RunFiles:
    """Where each file of the run in `directory` lies; none need exist."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / CONFIG

    @property
    def manifest(self) -> Path:
        return self.directory / MANIFEST

    @property
    def metrics(self) -> Path:
        return self.directory / METRICS

    @property
    def rollouts(self) -> Path:
        return self.directory / ROLLOUTS

    @property
    def report(self) -> Path:
        return self.directory / REPORT

    @property
    def checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    @property
    def final(self) -> Path:
        return self.directory / "final"

    @property
    def final_config(self) -> Path:
        """What says of which kind `final/` is: an adapter's, or a whole checkpoint's."""
        adapter = self.final / "adapter_config.json"
        return adapter if adapter.is_file() else self.final / "config.json"

    def evaluation(self, label: str) -> Path:
        """label: `before`, `after`, or `step-000020`."""
        return self.directory / "eval" / label

    @property
    def exists(self) -> bool:
        """Is there a run, begun or finished?"""
        return self.config.is_file()

    def has_evaluation(self, label: str) -> bool:
        """Was it written whole? The results come first, and last of all the samples get their name."""
        folder = self.evaluation(label)
        return all(any(folder.glob(pattern)) for pattern in ("results_*.json", "samples_*.jsonl"))

    @property
    def finished(self) -> bool:
        """Both are written last and whole: the trained policy, then the evaluation of it."""
        return self.final_config.is_file() and self.has_evaluation("after")


def read_config(directory: Path) -> dict[str, Any]:
    """A run's `config.yaml`; `set` holds its method's own. Raises `UsageError`."""
    place = RunFiles(directory).config
    check_regular(place)
    return read_yaml_mapping(place, "the configuration")


# ----------------------------------------------------------------------------------------------------------------- rows
class Rows(list[dict[str, Any]]):
    """Rows of a table; a list, but shown as a table in a notebook."""

    def to_pandas(self) -> Any:
        """A DataFrame; what is nested gets names such as `criteria.steps_valid`."""
        return make_frame(self)

    def __getitem__(self, index: Any) -> Any:
        """A row; of a slice, rows."""
        found = super().__getitem__(index)
        return Rows(found) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return flatten(f"<{len(self)} rows of {len(self._columns)} columns: {', '.join(self._columns)}>")

    def _repr_html_(self) -> str:
        shown = [name for name in SHOWN_COLUMNS if name in self._columns] or self._columns[: len(SHOWN_COLUMNS)]
        return make_html_table(shown, [[_format(row.get(name)) for name in shown] for row in self[-SHOWN_ROWS:]])

    @property
    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self for name in row))


class LazyRows(Sequence[dict[str, Any]]):
    """Rows of a JSONL file, read one at a time when they are asked for. may_lack: without the file there are none."""

    def __init__(self, path: Path, may_lack: bool = False):
        self.path, self.may_lack = path, may_lack

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return read_rows(self.path) if self._is_there else iter(())

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: SupportsIndex | slice) -> dict[str, Any] | Rows:
        starts = self._starts[index]
        if not starts and isinstance(starts, list):
            return Rows()
        with self.path.open("rb") as file:
            found = Rows(self._read_row(file, start) for start in (starts if isinstance(starts, list) else [starts]))
        return found if isinstance(starts, list) else found[0]

    def to_pandas(self) -> Any:
        """All rows as a DataFrame."""
        return make_frame(self)

    def __repr__(self) -> str:
        return flatten(f"<{len(self):,} rows of {self.path}>")

    @property
    def _is_there(self) -> bool:
        return self.path.exists() or not self.may_lack

    @cached_property
    def _starts(self) -> list[int]:
        """Where each row begins, in bytes."""
        if not self._is_there:
            return []
        check_regular(self.path)
        return [start for _, start, _ in read_lines(self.path)]

    def _read_row(self, file: Any, start: int) -> dict[str, Any]:
        file.seek(start)
        row: dict[str, Any] = parse_json(file.readline(), str(self.path), strict=True)
        return row


def make_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A pandas DataFrame. Raises `UsageError` where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UsageError("to_pandas needs the package pandas: pip install pandas") from None
    return pandas.json_normalize(list(rows), max_level=1)


def make_html_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def join(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(neutralize(cell))}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{join('th', columns)}{''.join(join('td', line) for line in lines)}</table>"


def _format(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


# ----------------------------------------------------------------------------------------------------------------- runs
@dataclass(frozen=True, repr=False)
class Evaluation:
    """One evaluation of a run: `before` training, `after` it, or at a step. summary: as the results file holds it."""

    label: str
    summary: Mapping[str, Any]
    samples: LazyRows

    @property
    def scores(self) -> dict[str, Mapping[str, Any]]:
        """By metric: its value, its standard error, over how many items, how many were undecided."""
        return dict(self.summary["metrics"])

    @property
    def metrics(self) -> dict[str, float | None]:
        """By metric: its value; the first is the task's primary one."""
        return {name: score["value"] for name, score in self.scores.items()}

    @property
    def criteria(self) -> dict[str, float | None]:
        """By criterion: the share of items that meet it."""
        return {name: score["value"] for name, score in self.summary["criteria"].items()}

    def to_pandas(self) -> Any:
        """The samples as a DataFrame."""
        return self.samples.to_pandas()

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {_format(value)}" for name, value in self.metrics.items())
        return flatten(f"<Evaluation {self.label}: {scores} over {self.summary['items']} items>")

    def _repr_html_(self) -> str:
        values = {**self.metrics, **self.criteria}
        return make_html_table(["", self.label], [[name, _format(value)] for name, value in values.items()])


@dataclass(frozen=True, repr=False)
class Run:
    """A run as it lies on disk, begun or finished. Everything is read when it is asked for."""

    directory: Path

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.directory)

    @property
    def finished(self) -> bool:
        return self.files.finished

    @property
    def config(self) -> dict[str, Any]:
        """Every setting; those of its method under `set`."""
        return read_config(self.directory)

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.files.manifest)
        return found

    @property
    def metrics(self) -> Rows:
        """One row per step; the names are documented in docs/run-directory.md."""
        return Rows(read_rows(self.files.metrics) if self.files.metrics.is_file() else ())

    @property
    def rollouts(self) -> LazyRows:
        """Every response that was sampled, in order."""
        return LazyRows(self.files.rollouts, may_lack=True)

    def evaluation(self, label: str = "after") -> Evaluation:
        """label: `before`, `after`, or a step's, such as `step-000020`. Raises `UsageError` where there is none."""
        if label not in self._labels:
            others = ", ".join(self._labels) or "none"
            raise UsageError(f"{self.directory} has no evaluation {label!r}: it has {others}")
        folder = self.files.evaluation(label)
        results = sorted(folder.glob("results_*.json"))
        try:
            task, summary = next(iter(read_json(results[-1])["herl_bench"]["summary"].items()))
            assert all("value" in score for key in ("metrics", "criteria") for score in summary[key].values())
            assert isinstance(summary["items"], int)
        except (LookupError, TypeError, AttributeError, StopIteration, AssertionError):
            raise UsageError(f"{results[-1]}: not a results file that herl-bench wrote") from None
        samples = folder / results[-1].name.replace("results_", f"samples_{task}_", 1).replace(".json", ".jsonl")
        return Evaluation(label, summary, LazyRows(samples))

    @property
    def report(self) -> str:
        """Its page, as HTML that needs no network. Raises `UsageError` where none was written."""
        if not self.files.report.is_file():
            raise UsageError(f"{self.directory} has no page: write it with herl-bench report {self.directory}")
        return self.files.report.read_text(encoding="utf-8")

    def __fspath__(self) -> str:
        return str(self.directory)

    def __repr__(self) -> str:
        try:
            title, found = self._look()
        except UsageError as error:
            title, found = f"damaged: {error}", []
        parts = [title, *(repr(evaluation)[12:-1] for evaluation in found)]
        return flatten(f"<Run {'; '.join(parts)}; in {self.directory}>")

    def _repr_html_(self) -> str:
        try:
            title, found = self._look()
        except UsageError:
            return f"<p>{escape(repr(self))}</p>"
        values = [{**one.metrics, **one.criteria} for one in found]
        lines = [[name, *(_format(each.get(name)) for each in values)] for name in (values[-1] if values else ())]
        heading = f"<p>{escape(neutralize(f'{title} in {self.directory}'))}</p>"
        return heading + make_html_table(["", *(one.label for one in found)], lines)

    def _look(self) -> tuple[str, list[Evaluation]]:
        """What it is, in words, and its evaluations before and after, as far as there are any."""
        config = self.config
        title = " ".join([*(str(config.get(name)) for name in ("task", "method")), f"seed {config.get('seed')}"])
        return title, [self.evaluation(label) for label in ("before", "after") if label in self._labels]

    @property
    def _labels(self) -> list[str]:
        """Of the evaluations that were written."""
        return sorted({path.parent.name for path in self.files.evaluation("*").parent.glob("*/results_*.json")})


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder, begun or finished. Raises `UsageError` for a folder that is none."""
    folder = find_folder(path, "path")
    if not RunFiles(folder).exists:
        raise UsageError(f"{folder}: no config.yaml there: name the folder of a run")
    return Run(folder)


def find_folder(place: Any, name: str) -> Path:
    """As a path, with `~` followed. name: of what was to say where it is, for the message."""
    if not isinstance(place, (str, os.PathLike)) or "\0" in os.fspath(place):
        raise UsageError(f"{name}: write where it is, as a string or path, not {flatten(repr(place))[:60]}")
    return Path(os.path.expanduser(place))
