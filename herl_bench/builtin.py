"""What the core itself contributes, through the hooks of any plugin: methods, the sandbox, the general checks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from herl_bench.hookspecs import hookimpl
from herl_bench.rubric import CHECKS
from herl_bench.training.config import GRPOConfig, HeRLConfig, PPOConfig, RLOOConfig
from herl_bench.types import Check, Method, SandboxProvider

if TYPE_CHECKING:
    from herl_bench.training.training_run import TrainingRun


def _train(run: TrainingRun) -> None:
    from herl_bench.training.herl import train

    train(run)


def _train_peer(run: TrainingRun) -> None:
    from herl_bench.training.trl_methods import train

    train(run)


def _open_sandbox(**options: Any) -> Any:
    from herl_bench.sandbox import Sandbox

    return Sandbox(**options)


@hookimpl
def herl_checks() -> Iterable[Check]:
    return CHECKS


@hookimpl
def herl_methods() -> Iterable[Method]:
    guided = "PPO, guided revisions of failures, and a critic-estimated improvement bonus"
    return [
        Method("ppo", PPOConfig, _train, "proximal policy optimisation with a value critic"),
        Method("herl", HeRLConfig, _train, guided),
        Method("grpo", GRPOConfig, _train_peer, "group-relative policy optimisation, trained by TRL"),
        Method("rloo", RLOOConfig, _train_peer, "REINFORCE with a leave-one-out baseline, trained by TRL"),
    ]


@hookimpl
def herl_sandboxes() -> Iterable[SandboxProvider]:
    strong = "namespaces, Landlock and seccomp; needs bubblewrap, no root, no daemon"
    weak, open_weak = "Landlock and seccomp alone, for containers; weaker", partial(_open_sandbox, isolation="landlock")
    return [SandboxProvider("default", _open_sandbox, strong), SandboxProvider("landlock", open_weak, weak)]
