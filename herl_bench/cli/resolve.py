"""From names to objects: what the commands need of the plugin host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.errors import UsageError
from herl_bench.plugins import Host
from herl_bench.types import HindsightTemplate, Metric, Rubric, Task

if TYPE_CHECKING:
    from herl_bench.policy.answer import Answerer
    from herl_bench.policy.load import Policy


def rubric_of(host: Host, task: Task, name: str = "") -> Rubric:
    """The named rubric, a rubric file, or the task's own."""
    if name.endswith((".yaml", ".yml")):
        from herl_bench.rubric import load_rubric

        return load_rubric(name, host.items("check"))
    rubric: Rubric = host.get("rubric", name or task.rubric)
    return rubric


def template_of(host: Host, task: Task, name: str = "") -> HindsightTemplate:
    """Raises `UsageError` for one that is no Jinja, with its line."""
    from herl_bench.hindsight import try_template

    template: HindsightTemplate = host.get("template", name or task.template)
    try_template(template, Rubric("none", ()))
    return template


def metrics_of(host: Host, task: Task) -> list[Metric]:
    return [host.get("metric", name) for name in task.metrics]


def is_embedded(model: str) -> bool:
    """Is it a task's embedded policy, or another that `herl-bench warmstart` made? They are small, and learn at higher rates."""
    return model == "tiny" or (Path(model) / "warmstart.json").is_file()


def policy_of(task: Task | None, model: str) -> Policy:
    """The policy that `--model` names: `tiny` (which needs the task), a folder (a run's too), or a hub id."""
    from herl_bench.policy.load import load_policy

    if model == "tiny":
        if task is None:
            raise UsageError("--model tiny is another policy for each of our own tasks: name a checkpoint folder or a run")
        if task.policy is None or not (task.policy / "config.json").is_file():
            raise UsageError(f"task {task.name!r} has no embedded policy: pass --model with a checkpoint folder or a hub id")
        policy = load_policy(str(task.policy))
    else:
        from herl_bench.cli.elsewhere import as_ours

        if model == "openai":
            raise UsageError("--model openai is a server: it can be evaluated (herl-bench eval), not trained")
        as_ours(model, None)
        policy = load_policy(str(Path(model) / "final") if (Path(model) / "final" / "config.json").is_file() else model)
    policy.name = model
    return policy


def answerer_of(model: str, model_args: str | None = None) -> Callable[[Task | None], Answerer]:
    """What `--model` names, for each task: `tiny` is another policy for every task, everything else is loaded once."""
    if model == "openai":
        from herl_bench.policy.server import open_server, parse_model_args

        server = open_server(parse_model_args(model_args or ""))
        return lambda task: server
    if model_args is not None:
        raise UsageError(f"--model_args goes with --model openai, not with {model}")
    loaded: dict[str, Answerer] = {}

    def of(task: Task | None) -> Answerer:
        key = task.name if task and model == "tiny" else ""
        if key not in loaded:
            loaded[key] = policy_of(task, model)
        return loaded[key]

    return of


@contextmanager
def sandbox_of(host: Host, task: Task, name: str = "default") -> Iterator[Any]:
    """The named sandbox, open, where the task runs code; else None. Raises `NoSandbox` where nothing here can do it safely."""
    if not task.needs_sandbox:
        yield None
        return
    with host.get("sandbox", name).open() as sandbox:
        yield sandbox
