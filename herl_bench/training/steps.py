"""What every built-in method does around its own learning, step for step: take the next examples, see what the budget
affords, keep time, log, and stop with a sentence where learning went wrong.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from herl_bench.errors import DivergedError, UsageError
from herl_bench.reading import read_rows
from herl_bench.training.collapse import FIRST_STEPS, find_collapse
from herl_bench.training.metrics import order_row
from herl_bench.training.rollouts import Rollout
from herl_bench.training.training_run import TrainingRun
from herl_bench.types import Example

if TYPE_CHECKING:
    import torch

# What is left of a budget is not worth a step that is noisier than this one's.
FEWEST_ROLLOUTS = 8


class ExampleStream:
    """The run's training examples in their order. `position` counts those taken; set it before the first is."""

    def __init__(self, data: Any):
        self._data, self.position = data, 0
        self._examples: Iterator[Example] | None = None

    def take(self, count: int) -> list[Example]:
        if self._examples is None:
            self._examples = self._data.train(self.position)
        self.position += count
        return [next(self._examples) for _ in range(count)]


class Clock:
    """Seconds of a step by phase: `with clock("judge"): …`. started: of the run, by `time.monotonic`."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        since = time.monotonic()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - since

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def since_start(self) -> float:
        return time.monotonic() - self.started


def restore_generator(generator: torch.Generator, state: torch.Tensor) -> None:
    """Go on with a random stream where it was. On another kind of device, whose states are others, it becomes one that
    the saved state names: not what would have come, and the same each time."""
    if state.shape == generator.get_state().shape:
        generator.set_state(state)
    else:
        digest = hashlib.sha256(state.numpy().tobytes()).digest()
        generator.manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def afford_rollouts(run: TrainingRun, steps: int) -> int:
    """Responses of the next step; 0 once the budget is spent. The last one is made to fit, or left out if too small."""
    wanted = run.config.rollouts_per_step
    rollouts = run.budget.affordable(wanted, run.max_new_tokens)
    return 0 if steps and rollouts < min(FEWEST_ROLLOUTS, wanted) else rollouts


def count_minibatches(rollouts: int, size: int) -> int:
    """Optimiser steps per pass over a step of so many planned rollouts. Rows do not count: a method that makes more of
    them out of as many rollouts, or fewer, takes as many steps as any other."""
    return -(-rollouts // size)


def open_accelerator(run: TrainingRun, config: Any) -> Any:
    """accelerate's, with the run's tracker. Raises `UsageError` where there is more than one process."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import patch_environment

    placement = run.policy.placement
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run of this process chose a device too
    with patch_environment(accelerate_torch_device=placement.device):
        accelerator = Accelerator(
            cpu=placement.kind == "cpu",
            mixed_precision="no",  # every forward pass has its own autocast, whatever the environment says
            log_with=run.report_to or None,
            project_dir=str(run.directory),
            step_scheduler_with_optimizer=False,
        )
    if (count := accelerator.num_processes) > 1:
        raise UsageError(f"training runs in one process, not in {count}: start it without a launcher")
    if run.report_to:
        accelerator.init_trackers("logs", config=_keep_plain(vars(config), int | float | str))
    return accelerator


def log_step(run: TrainingRun, row: Mapping[str, Any], rollouts: Sequence[Rollout], accelerator: Any) -> None:
    """Write the step's row and rollouts, with an evaluation where one is due; and say it once where the first steps go
    wrong."""
    step, row = row["step"], dict(row)
    if run.config.eval_steps and step % run.config.eval_steps == 0:
        row["eval"] = run.evaluate(f"step-{step:06d}")
    row = order_row(row)
    run.log_step(row, rollouts)
    if step <= FIRST_STEPS:
        rows, settings = list(read_rows(run.files.metrics)), vars(run.config)
        if (collapse := find_collapse(rows, settings)) and not find_collapse(rows[:-1], settings):
            run.on_warning(f"{collapse}.")
    if run.report_to:
        accelerator.log(_keep_plain(row, int | float), step=step)


def stop_diverged(run: TrainingRun, steps: int, state: Mapping[str, Any], reason: str, kl_weight: str) -> NoReturn:
    """Save what there is and raise `DivergedError`. kl_weight: the setting that holds the policy to its start."""
    where = run.save_checkpoint(steps, state, label="diverged")
    raise DivergedError(
        f"stopped at step {steps + 1}: {reason}; the state is in {where}: lower learning_rate (now"
        f" {run.config.learning_rate:g}) or raise {kl_weight} (now {getattr(run.config, kl_weight):g})"
    ) from None


def _keep_plain(values: Mapping[str, Any], kinds: Any) -> dict[str, Any]:
    """What a tracker takes."""
    return {name: value for name, value in values.items() if isinstance(value, kinds)}
