"""A run's directory: the one module that knows what its files are called, who writes each, and how to read them back.

    RUN/
      config.yaml      every setting, resolved; `herl-bench run --config` takes it as it is
      manifest.json    versions, plugins, hardware, data hashes, leakage gate, base model's hash, command
      metrics.jsonl    one row per step; every name is documented in `train/metrics.py`
      rollouts.jsonl   every response: prompt, text, verdicts, reward, kind, guidance
      checkpoints/     step-000005/state.pt and sums.json, the newest two
      final/           the trained policy as a Hugging Face checkpoint, and the critics
      eval/            before/ and after/, each in lm-eval's results and samples schema
      report.html      the run's page

Only a training run (`train/training_run.py`) and what begins or ends one write here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIG, MANIFEST, METRICS, ROLLOUTS, REPORT = (
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "rollouts.jsonl",
    "report.html",
)


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

    def evaluation(self, label: str) -> Path:
        """label: `before`, `after`, or `step-000020`."""
        return self.directory / "eval" / label

    @property
    def exists(self) -> bool:
        """Is there a run, begun or finished?"""
        return self.config.is_file()

    @property
    def finished(self) -> bool:
        """Both are written last and whole: the trained policy, then the evaluation of it."""
        return (self.final / "config.json").is_file() and any(self.evaluation("after").glob("results_*.json"))


@dataclass(frozen=True)
class Run:
    """A run, begun or finished, as it lies on disk."""

    directory: Path


def load_run(path: str | Path) -> Run:
    return Run(Path(path))
