"""A run: its directory, and the objects that a method works with.

    RUN/
      config.yaml      every setting, resolved; `herl-bench run --config` takes it as it is
      manifest.json    versions, plugins, hardware, data hashes, leakage gate, base model's hash, command
      metrics.jsonl    one row per step; every name is documented in `train/metrics.py`
      rollouts.jsonl   every response: prompt, text, verdicts, reward, kind, guidance
      checkpoints/     step-000005/state.pt and sums.json, the newest two; written beside and renamed, so that a torn one is never seen
      final/           the trained policy as a Hugging Face checkpoint, and the critics
      eval/            before/ and after/, each in lm-eval's results and samples schema

A step's rows are appended as the step ends. A checkpoint remembers how long both files were and what they held, and a
resumed run cuts them back to that, so that a run that was killed and resumed leaves the same bytes as one that was not
(wall-clock fields aside). The disk has the logs before the checkpoint that counts on them. A checkpoint that is
damaged, or whose logs are, is never gone on from.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.budget import Budget
from herl_bench.errors import SaveError, UsageError
from herl_bench.saving import Log, damage, prefix_sum, read_sums, saving, size_of, sync, write_sums
from herl_bench.settings import Settings
from herl_bench.types import Environment, HindsightTemplate, Method, Metric, Rubric, Task

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.policy.load import Policy
    from herl_bench.train.rollouts import Rollout

KEPT_CHECKPOINTS = 2
LOGS = ("metrics.jsonl", "rollouts.jsonl")


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
    critics: Mapping[str, Any] = field(default_factory=dict)
    _logs: Mapping[str, Log] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._logs = {name: Log(self.directory / name) for name in LOGS}

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
    def instruction(self) -> str:
        """What a model with a chat template is told."""
        told = self.settings.system_instruction
        return self.task.instruction if told is None else told

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of what the policy is given of each prompt, as `evaluate` gives it."""
        opening = (
            f"{self.settings.system_instruction}\n\n"
            if self.settings.system_instruction and not self.policy.chat
            else ""
        )
        return self.policy.encode([opening + prompt for prompt in prompts], self.instruction)

    @property
    def stop(self) -> Sequence[str]:
        """A chat model ends its own turn; its answer may well begin with what would stop a plain continuation."""
        return () if getattr(self.policy.tokenizer, "chat_template", None) else self.task.stop

    @property
    def max_new_tokens(self) -> int:
        own = getattr(self.config, "max_new_tokens", None)
        if own:
            return int(own)
        return (
            self.task.world.max_new_tokens
            if self.data.source == "synthetic" and self.task.world
            else self.task.max_new_tokens
        )

    # -------------------------------------------------------------------------------------------------------- the files
    def log_step(self, row: Mapping[str, Any], rollouts: Sequence[Rollout]) -> None:
        self._logs["rollouts.jsonl"].append([r.as_json(row["step"], i) for i, r in enumerate(rollouts)])
        self._logs["metrics.jsonl"].append([row])
        self.on_step(dict(row), rollouts)

    def save_checkpoint(self, step: int, state: Mapping[str, Any], label: str = "step") -> Path:
        """Write the whole state beside, flush it to disk, rename it, and drop all but the newest two."""
        import torch

        folder = self.directory / "checkpoints" / f"{label}-{step:06d}"
        if (folder / "state.pt").is_file() and label == "step":
            return folder
        logs = {name: log.sealed() for name, log in self._logs.items()}
        beside = folder.with_name(f".{folder.name}.tmp")
        with saving(folder):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            sync(self.directory)
            with open(beside / "state.pt", "wb") as file:
                torch.save({"state": dict(state), "written": {name: log["bytes"] for name, log in logs.items()}}, file)
            write_sums(beside, logs=logs)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(beside, folder)
            sync(folder.parent)
        for old in checkpoints(self.directory)[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint's state, with both logs cut back to it; None, with empty logs, where there is none.

        Raises `UsageError` where that checkpoint, or a log that it counts on, is damaged.
        """
        found = whole_checkpoint(self.directory) if self.resuming else None
        saved = _read_state(found) if found else {"state": None, "written": {}}
        for name, log in self._logs.items():
            log.cut(saved["written"].get(name, 0))
        state: dict[str, Any] | None = saved["state"]
        return state

    def evaluate(self, label: str) -> dict[str, float | None]:
        """Evaluate the policy as it is now into `eval/LABEL/`; the mean of each metric. Greedy, not charged to the
        budget."""
        from herl_bench.evaluate import Writer, evaluate, sampling_settings

        folder = self.directory / "eval" / label
        with saving(folder):
            shutil.rmtree(folder, ignore_errors=True)
        how: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "temperature": 0.0, "n": 1, "seed": self.seed}
        how |= {"system_instruction": self.settings.system_instruction}
        settings = sampling_settings(self.policy, self.task, **how)
        seen = 0

        def on_batch(rows: Sequence[Any]) -> None:
            nonlocal seen
            seen += len(rows)
            writer.append(rows)
            self.on_eval(label, seen, len(self.data.eval))
            if self.interrupted and label in (
                "before",
                "after",
            ):  # outside of a step nothing is lost by stopping at once
                raise KeyboardInterrupt

        with Writer(
            folder, task=self.task, rubric=self.rubric, metrics=self.metrics, settings=settings, model=self.policy
        ) as writer:
            done = evaluate(
                self.policy,
                self.task,
                self.rubric,
                self.metrics,
                self.data.eval,
                sandbox=self.sandbox,
                on_batch=on_batch,
                **how,
            )
            writer.finish(done, model_name=self.settings.model, config={"data": self.data.source, "label": label})
        return {key: score.value for key, score in done.summary.metrics.items()}

    def save_final(self) -> None:
        """`final/`: the policy and tokenizer as `from_pretrained` loads them, and each critic's weights. Renamed into
        place when whole."""
        from safetensors.torch import save_file

        final, beside = self.directory / "final", self.directory / ".final.tmp"
        with saving(final):
            shutil.rmtree(beside, ignore_errors=True)
            self.policy.model.save_pretrained(beside)
            self.policy.tokenizer.save_pretrained(beside)
            for name, critic in self.critics.items():
                save_file(
                    {k: v.contiguous().clone() for k, v in critic.state_dict().items()},
                    str(beside / f"{name}.safetensors"),
                )
            write_sums(beside)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(beside, final)
            sync(self.directory)


# -------------------------------------------------------------------------------------------------------------- reading
def checkpoints(directory: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(p.parent for p in (directory / "checkpoints").glob("step-*/state.pt"))


def whole_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint; None where there is none. Raises `UsageError` where it cannot be gone on from, with what
    can be done instead."""
    found = checkpoints(directory)
    if not found or not (fault := _fault(directory, found[-1])):
        return found[-1] if found else None
    older = next((c for c in reversed(found[:-1]) if not _fault(directory, c)), None)
    if older:
        doomed = shlex.join(str(c) for c in found if c.name > older.name)
        cure = f"{older} is whole: delete the newer one (rm -r {doomed}) and --resume goes on from there"
    else:
        doomed = shlex.quote(str(directory / "checkpoints"))
        cure = f"no earlier checkpoint is whole: delete them (rm -r {doomed}) and --resume begins again from the start"
    raise UsageError(f"{found[-1]} cannot be resumed from: {fault}; {cure}")


def step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _fault(directory: Path, checkpoint: Path) -> str:
    """Why a checkpoint cannot be gone on from, in words; empty where it can."""
    if told := damage(checkpoint):
        return told
    try:
        logs = read_sums(checkpoint).get("logs") or {
            name: {"bytes": n} for name, n in _read_state(checkpoint)["written"].items()
        }
    except UsageError as error:
        return str(error)
    for name, log in logs.items():
        path, wanted = directory / name, log["bytes"]
        if (there := size_of(path)) < wanted:
            what = (
                f"holds {there:,} of the {wanted:,} bytes that it counts on"
                if path.exists()
                else f"is gone, with the {wanted:,} bytes of it"
            )
            return f"{name} {what} (put the file back where there is a copy)"
        if "sha256" in log and prefix_sum(path, wanted).hexdigest() != log["sha256"]:
            return f"{name} was changed after it was written (put the file back where there is a copy)"
    return ""


def _read_state(checkpoint: Path) -> dict[str, Any]:
    import torch

    try:
        saved: dict[str, Any] = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
        assert {"state", "written"} <= set(saved)
    except Exception as error:
        raise UsageError(f"state.pt cannot be read ({type(error).__name__})") from None
    return saved


def new_directory(parent: Path, name: str) -> Path:
    """`parent/name`, or `name-2`, `name-3`, … where that is taken. Raises `UsageError` where no folder can be made."""
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"--output_dir {parent} is a file: name a folder")
    number = 1
    while True:
        directory = parent / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            if not directory.exists():
                raise UsageError(f"--output_dir {parent}: a part of that path is a file: name a folder") from None
            number += 1
        except NotADirectoryError:
            raise UsageError(f"--output_dir {parent}: a part of that path is a file: name a folder") from None
        except OSError as error:
            raise SaveError(f"cannot make {directory}: {error.strerror}") from None
        else:
            return directory
