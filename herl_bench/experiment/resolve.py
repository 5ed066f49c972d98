"""From names to objects: what the commands need of the plugin host."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten
from herl_bench.plugins import Host
from herl_bench.runs import RunFiles
from herl_bench.types import Environment, HindsightTemplate, Metric, Rubric, SandboxProvider, Task

if TYPE_CHECKING:
    from herl_bench.policy.answerer import Answerer
    from herl_bench.policy.load import Policy

log = logging.getLogger("herl_bench")


def find_rubric(host: Host, task: Task, name: str = "") -> Rubric:
    """The named rubric, a rubric file, or the task's own. Raises `UsageError` where nothing in it pays."""
    from herl_bench.rubric import check_weights, load_rubric

    if name.endswith((".yaml", ".yml")):
        return load_rubric(name, host.items("check"))
    rubric: Rubric = host.get("rubric", name or task.rubric)
    check_weights(rubric, f"rubric {rubric.name!r}")
    return rubric


def find_template(host: Host, task: Task, name: str = "") -> HindsightTemplate:
    """Raises `UsageError` for one that is no Jinja, with its line."""
    from herl_bench.hindsight import try_template

    template: HindsightTemplate = host.get("template", name or task.template)
    try_template(template, Rubric("none", ()))
    return template


def find_metrics(host: Host, task: Task) -> list[Metric]:
    return [host.get("metric", name) for name in task.metrics]


def find_environment(host: Host, task: Task, rubric: str = "", template: str = "") -> Environment:
    """All that a task is judged by, but no sandbox yet. rubric, template: names; the task's own where empty."""
    chosen, guidance = find_rubric(host, task, rubric), find_template(host, task, template)
    return Environment(task, chosen, guidance, find_metrics(host, task))


def warn_of_problems(host: Host) -> None:
    """Broken plugins are named; the rest works."""
    for problem in host.problems:
        log.warning("warning: %s", flatten(problem))


def is_embedded(model: str) -> bool:
    """Is it a task's embedded policy, or another of `herl-bench warmstart`? Small ones learn at higher rates."""
    return model == "tiny" or (Path(model) / "warmstart.json").is_file()


def find_checkpoint(task: Task | None, model: str) -> str:
    """The folder or hub id of what `--model` names: `tiny` (which needs the task), a folder (a run's too), or a hub
    id."""
    if model == "tiny":
        if task is None:
            many = "another policy for each of our own tasks"
            raise UsageError(f"--model tiny is {many}: name a checkpoint folder or a run")
        if task.policy is None or not (task.policy / "config.json").is_file():
            remedy = "pass --model with a checkpoint folder or a hub id"
            raise UsageError(f"task {task.name!r} has no embedded policy: {remedy}")
        return str(task.policy)
    if model == "openai":
        raise UsageError("--model openai is a server: it can be evaluated (herl-bench eval), not trained")
    files = RunFiles(Path(model))
    return str(files.final) if files.final_config.is_file() else model


def load_named_policy(
    task: Task | None,
    model: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Policy:
    """The policy that `--model` names, to be evaluated. device, dtype: see `placement.choose_placement`.

    trust_remote_code: run Python code that the model brings along. chat_template_kwargs: variables of its chat
    template.
    """
    from herl_bench.policy.load import load_policy
    from herl_bench.policy.placement import choose_placement
    from herl_bench.policy.size import read_size

    place = find_checkpoint(task, model)
    placement = choose_placement(device, dtype, read_size(place, trust_remote_code).parameters)
    given: Any = {"trust_remote_code": trust_remote_code, "chat_template_kwargs": chat_template_kwargs}
    policy = load_policy(place, placement=placement, **given)
    policy.name = model
    return policy


def find_answerer(
    model: str,
    model_args: str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Callable[[Task | None], Answerer]:
    """What `--model` names, for each task: `tiny` is another policy for every task, everything else is loaded once."""
    if model == "openai":
        from herl_bench.policy.server import open_server, parse_model_args

        for name, value in (("device", device), ("dtype", dtype)):
            if value != "auto":
                raise UsageError(f"--{name} {value} is for models that are loaded here: a server has chosen its own")
        server = open_server(parse_model_args(model_args or ""), chat_template_kwargs)
        return lambda task: server
    if model_args is not None:
        raise UsageError(f"--model_args goes with --model openai, not with {model}")
    loaded: dict[str, Answerer] = {}

    def get_answerer(task: Task | None) -> Answerer:
        key = task.name if task and model == "tiny" else ""
        if key not in loaded:
            where: Any = {"device": device, "dtype": dtype, "trust_remote_code": trust_remote_code}
            loaded[key] = load_named_policy(task, model, chat_template_kwargs=chat_template_kwargs, **where)
        return loaded[key]

    return get_answerer


@contextmanager
def open_sandbox(host: Host, task: Task, name: str = "default", integrity: str = "shared") -> Iterator[Any]:
    """The named sandbox, open, where the task runs code; else None. Raises `NoSandbox` where that is not safe here."""
    if not task.needs_sandbox:
        yield None
        return
    with find_sandbox(host, name, integrity)() as sandbox:
        yield sandbox


def find_sandbox(host: Host, name: str = "default", integrity: str = "shared") -> Callable[..., Any]:
    """Opens the named sandbox. integrity: `split` refuses verdicts that a program's own objects have a word in. Raises
    `UsageError` where the sandbox cannot do that; one that is not asked to need not know the option."""
    provider: SandboxProvider = host.get("sandbox", name)
    if integrity == "shared":
        return provider.open
    try:
        inspect.signature(provider.open).bind(integrity=integrity)
    except (TypeError, ValueError):
        remedy = "leave it out, or name another sandbox"
        raise UsageError(f"integrity={integrity}: the sandbox {name!r} has no such option: {remedy}") from None
    return partial(provider.open, integrity=integrity)
