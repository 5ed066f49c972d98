"""What a method works with: settings, environment, data, policy and budget; it writes the files that `runs.py` names.

A step's rows are appended as the step ends; a checkpoint counts on them (`checkpoints.py`).
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.budget import Budget
from herl_bench.conversation import Prompt, put_before
from herl_bench.errors import SaveError, UsageError
from herl_bench.evaluation.sampling import Sampling, default_max_new_tokens, resolve_sampling
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.runs import METRICS, ROLLOUTS, RunFiles
from herl_bench.saving import Log, saving, sync, write_sums
from herl_bench.settings import Settings
from herl_bench.training.checkpoints import load_checkpoint, save_checkpoint
from herl_bench.types import Environment, HindsightTemplate, Method, Metric, Rubric, Task

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.policy.load import Policy
    from herl_bench.training.rollouts import Rollout, Truncation

log = logging.getLogger("herl_bench")


@dataclass
class TrainingRun:
    """What a method's `train(run)` gets. It spends `budget`, logs with `log_step`, saves with `save_checkpoint`, and
    stops at the end of a step once `interrupted` is set."""

    directory: Path
    settings: Settings
    environment: Environment
    method: Method
    config: Any
    data: Data
    policy: Policy
    budget: Budget
    interrupted: bool = False
    resuming: bool = False
    on_step: Callable[[dict[str, Any], Sequence[Rollout]], None] = lambda row, rollouts: None
    on_eval: Callable[[str, int, int], None] = lambda label, done, total: None
    on_warning: Callable[[str], None] = lambda text: log.warning("warning: %s", text)
    critics: Mapping[str, Any] = field(default_factory=dict)
    _logs: Mapping[str, Log] = field(init=False, repr=False)
    _warned: set[str] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        self._logs = {name: Log(self.directory / name) for name in (METRICS, ROLLOUTS)}

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.directory)

    # ----------------------------------------------------------------------------------------- what the policy is asked
    @property
    def task(self) -> Task:
        return self.environment.task

    @property
    def rubric(self) -> Rubric:
        return self.environment.rubric

    @property
    def template(self) -> HindsightTemplate:
        return self.environment.template

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.environment.metrics

    @property
    def sandbox(self) -> Any:
        return self.environment.sandbox

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def report_to(self) -> str:
        return self.settings.report_to

    @property
    def sampling(self) -> Sampling:
        """How the policy is evaluated. Training asks by the same rules, at its own temperature."""
        return Sampling(self.max_new_tokens, seed=self.seed, system_instruction=self.settings.system_instruction)

    @property
    def asked(self) -> ResolvedSampling:
        return resolve_sampling(self.sampling, self.policy, self.task)

    def encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of what the policy is given of each prompt, as `evaluate` gives it."""
        asked = self.asked
        return self.policy.encode([put_before(asked.prefix, prompt) for prompt in prompts], asked.instruction)

    @property
    def stop(self) -> Sequence[str]:
        return self.asked.stop

    @property
    def max_new_tokens(self) -> int:
        own = getattr(self.config, "max_new_tokens", None)
        return int(own) if own else default_max_new_tokens(self.task, self.data.source)

    @property
    def truncation(self) -> Truncation | None:
        """What is made of a response that was cut off; None where the method has no such setting."""
        return getattr(self.config, "truncation", None)

    # -------------------------------------------------------------------------------------------------------- the files
    def warn_once(self, kind: str, text: str) -> None:
        """Say what holds for many steps at its first time. kind: of what is said."""
        if kind not in self._warned:
            self._warned.add(kind)
            self.on_warning(text)

    def log_step(self, row: Mapping[str, Any], rollouts: Sequence[Rollout]) -> None:
        self._logs[ROLLOUTS].append([r.as_json(row["step"], i) for i, r in enumerate(rollouts)])
        self._logs[METRICS].append([row])
        self.on_step(dict(row), rollouts)

    def save_checkpoint(self, step: int, state: Mapping[str, Any], label: str = "step") -> Path:
        return save_checkpoint(self.directory, f"{label}-{step:06d}", state, self._logs)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint's state, with both logs cut back to it; None, with empty logs, where there is none.

        Raises `UsageError` where that checkpoint, or a log that it counts on, is damaged.
        """
        return load_checkpoint(self.directory if self.resuming else None, self._logs)

    def evaluate(self, label: str) -> dict[str, float | None]:
        """Evaluate the policy as it is now into `eval/LABEL/`: greedy, not charged. Gives the mean of each metric."""
        from herl_bench.evaluation.evaluate import evaluate
        from herl_bench.evaluation.sample_files import SampleWriter
        from herl_bench.policy.precision import evaluate_in

        folder = self.files.evaluation(label)
        with saving(folder):
            shutil.rmtree(folder, ignore_errors=True)
        finished, total = 0, len(self.data.eval)
        self.on_eval(label, finished, total)

        def on_answers(more: int) -> None:
            nonlocal finished
            finished += more
            self.on_eval(label, finished, total)
            if self.interrupted and label in ("before", "after"):  # outside of a step stopping at once loses nothing
                raise KeyboardInterrupt

        precision = evaluate_in(self.policy)
        with precision, SampleWriter(folder, self.environment, self.asked, model=self.policy) as writer:
            given = self.policy, self.environment, self.data.eval, self.sampling
            done = evaluate(*given, on_batch=writer.append, on_answers=on_answers)
            writer.finish(done, model_name=self.settings.model, config={"data": self.data.source, "label": label})
        return {key: score.value for key, score in done.summary.metrics.items()}

    def save_final(self) -> None:
        """`final/`: policy and tokenizer for `from_pretrained`, and each critic's weights. Renamed when whole."""
        from safetensors.torch import save_file

        final, beside = self.files.final, self.files.final.with_name(".final.tmp")
        with saving(final):
            shutil.rmtree(beside, ignore_errors=True)
            self._save_policy(beside)
            self.policy.tokenizer.save_pretrained(beside)
            for name, critic in self.critics.items():
                weights = {k: v.contiguous().clone() for k, v in critic.state_dict().items()}
                save_file(weights, str(beside / f"{name}.safetensors"))
            write_sums(beside)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(beside, final)
            sync(self.directory)

    def _save_policy(self, folder: Path) -> None:
        """The weights; or the adapter, with `merge` also an ordinary checkpoint of both in `merged/`."""
        from herl_bench.policy import adapters

        model = self.policy.model
        if not adapters.has_adapters(model):
            model.save_pretrained(folder)
            return
        adapters.save_adapter(model, self.policy.path, folder)
        if self.config.merge:
            merged = folder / "merged"
            adapters.merge(copy.deepcopy(model)).save_pretrained(merged)
            self.policy.tokenizer.save_pretrained(merged)
            write_sums(merged)


def check_parent(parent: Path) -> None:
    """Raises `UsageError` where the folder of runs can be none."""
    if not parent.is_dir():
        for place in (parent, *parent.parents):
            if place.exists() and not place.is_dir():
                what = " is a file" if place == parent else ": a part of that path is a file"
                raise UsageError(f"--output_dir {parent}{what}: name a folder")


def new_directory(parent: Path, name: str) -> Path:
    """`parent/name`, or `name-2`, `name-3`, … where that is taken. Raises `UsageError` where no folder can be made."""
    check_parent(parent)
    number = 1
    while True:
        directory = parent / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise SaveError(f"cannot make {directory}: {error.strerror}") from None
        else:
            return directory
