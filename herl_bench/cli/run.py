"""`herl-bench run`: train a policy on a task, and evaluate it before and after."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.budget import Budget, parse_tokens
from herl_bench.cli import report_problems
from herl_bench.cli.resolve import metrics_of, policy_of, rubric_of, sandbox_of, template_of
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.plugins import Host
from herl_bench.types import Method, Task

if TYPE_CHECKING:
    from herl_bench.settings import Settings

INTERRUPTED = 130


@click.command("run")
@click.option("--task", "--tasks", help="Name of the task (herl-bench ls tasks).")
@click.option("--method", help="Name of the method: herl (default), ppo, … (herl-bench ls methods).")
@click.option("--model", help="tiny (default: the task's embedded policy), a checkpoint folder, or a hub id.")
@click.option("--data", help="auto (default), synthetic, hub, or a folder with the benchmark's files.")
@click.option("--budget", help="Generated tokens to spend, such as 200k (default 100k).")
@click.option("--seed", type=int, help="Seed of everything random (default 0).")
@click.option("--system_instruction", metavar="TEXT", help="Told instead of the task's own instruction, in training and evaluation.")
@click.option("--output_dir", default="runs", show_default=True, help="Folder for run directories.")
@click.option("--config", "config_file", help="A YAML file of settings; a run's config.yaml for example.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated.")
@click.option("--preset", help="article (default), or paper: the published code's form of herl. A --set wins over it.")
@click.option("--report_to", help="A tracker of accelerate's, such as tensorboard.")
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; only --budget may be changed.")
@click.pass_context
def command(
    ctx: click.Context,
    output_dir: str,
    config_file: str | None,
    assignments: tuple[str, ...],
    preset: str | None,
    resume: str | None,
    **flags: Any,
) -> int:
    """Train a policy on a task with a method, and evaluate it before and after."""
    host: Host = ctx.obj
    if resume is not None:
        return _resume(host, resume, {**flags, "preset": preset}, assignments, config_file)
    from herl_bench.settings import parse_settings

    if preset is not None:
        assignments = (f"preset={preset}", *assignments)
    run_values, method_values, origin = parse_settings(flags, assignments, config_file)
    if not run_values.get("task"):
        raise UsageError(f"--task is missing: choose from {', '.join(sorted(host.entries('task')))}")
    settings = settings_of(run_values, origin)
    return _run(host, settings, method_values, origin, output_dir=Path(output_dir))


def settings_of(values: dict[str, Any], origin: dict[str, str]) -> Settings:
    """Checked settings, with the paths in them absolute. Raises `UsageError`."""
    from herl_bench.settings import Settings, build

    built = build(Settings, values, origin)
    for name in ("model", "data"):
        place = os.path.expanduser(getattr(built, name))  # a shell does not do it inside of --set
        if os.path.exists(place) and place not in ("tiny", "auto", "synthetic", "hub"):
            values = {**values, name: os.path.abspath(place)}
    if built.rubric.endswith((".yaml", ".yml")):
        values = {**values, "rubric": os.path.abspath(os.path.expanduser(built.rubric))}
    checked: Settings = build(Settings, values, origin)
    return checked


def _resume(host: Host, folder: str, flags: dict[str, Any], assignments: tuple[str, ...], config_file: str | None) -> int:
    from herl_bench.settings import read_yaml

    directory = Path(folder)
    if not (directory / "config.yaml").is_file():
        raise UsageError(f"--resume {folder}: no config.yaml there: name the folder of a run")
    given = [f"--{name}" for name, value in flags.items() if value is not None and name != "budget"]
    given += ["--set"] * bool(assignments) + ["--config"] * (config_file is not None)
    if given:
        raise UsageError(f"--resume takes every setting but --budget from {directory}/config.yaml: leave out {', '.join(given)}")
    values = read_yaml(str(directory / "config.yaml"))
    method_values = values.pop("set", {})
    if flags.get("budget") is not None:
        values["budget"] = parse_tokens(flags["budget"])
    origin = dict.fromkeys([*values, *method_values], f"{directory}/config.yaml: ")
    return _run(host, settings_of(values, origin), method_values, origin, resume=directory)


def _run(
    host: Host,
    settings: Any,
    method_values: dict[str, Any],
    origin: dict[str, str],
    output_dir: Path = Path("runs"),
    resume: Path | None = None,
) -> int:
    """Everything that can be wrong with the request is found before a folder is made."""
    from herl_bench.data import narrowed, open_data
    from herl_bench.hindsight import try_template
    from herl_bench.runs import Run, new_directory

    task = narrowed(host.get("task", settings.task), settings.problems)
    method = host.get("method", settings.method)
    config = config_of(method, method_values, origin, settings.model)
    rubric, template, metrics = rubric_of(host, task, settings.rubric), template_of(host, task, settings.template), metrics_of(host, task)
    if settings.report_to:
        _check_tracker(settings.report_to)
    report_problems(host)
    with ExitStack() as stack:
        sandbox = stack.enter_context(sandbox_of(host, task, settings.sandbox))
        data = open_data(
            task,
            settings.data,
            embedded=settings.model == "tiny",
            seed=settings.seed,
            eval_items=settings.eval_items,
            difficulty=settings.difficulty,
        )
        if settings.problems and data.source != "synthetic":
            raise UsageError(f"problems={settings.problems}: only the synthetic world says which problems are planted: leave it out")
        try_template(template, rubric, data.eval[:1])
        policy = policy_of(task, settings.model)
        directory = resume or new_directory(output_dir, f"{task.name}-{method.name}-s{settings.seed}")
        run = Run(
            directory, settings, task, rubric, template, metrics, method, config, data, policy, Budget(settings.budget),
            sandbox=sandbox, resuming=resume is not None,
        )  # fmt: skip
        return _execute(host, run)


def config_of(method: Method, values: dict[str, Any], origin: dict[str, str], model: str = "tiny") -> Any:
    """The method's own configuration, checked; what is not given suits the model. Raises `UsageError`."""
    import dataclasses

    from herl_bench.cli.resolve import is_embedded
    from herl_bench.settings import Settings, build

    own = {f.name for f in dataclasses.fields(method.config)}
    suited = {} if is_embedded(model) else {k: v for k, v in getattr(method.config, "other_models", {}).items() if k in own}
    return build(method.config, {**suited, **values}, origin, also=[f.name for f in dataclasses.fields(Settings)])


def _execute(host: Host, run: Any) -> int:
    import torch
    import transformers

    from herl_bench.cli.face import open_face, show_outcome
    from herl_bench.cli.report import try_report
    from herl_bench.manifest import command_line, manifest
    from herl_bench.saving import write_whole

    transformers.utils.logging.disable_progress_bar()  # it would break the display
    torch.manual_seed(run.seed)
    write_whole(run.directory / "config.yaml", config_text(run.settings, run.config, run.task, run.data.source))
    if not (run.resuming and (run.directory / "manifest.json").is_file()):
        import json

        write_whole(run.directory / "manifest.json", json.dumps(manifest(run, host, command_line()), indent=2, ensure_ascii=False) + "\n")
    face = open_face(run)

    def on_step(row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        face.on_step(row, rollouts)
        host.call("herl_rollouts_judged", run=run, step=row["step"], rollouts=rollouts)

    run.on_step = on_step
    run.on_eval = face.on_eval
    try:
        with face, _interruptible(run, face):
            face.say(_opening(run))
            if not any((run.directory / "eval" / "before").glob("results_*.json")):
                run.evaluate("before")
            run.method.train(run)
            if not run.interrupted:
                run.save_final()
                run.evaluate("after")
    except KeyboardInterrupt:
        run.interrupted = True
    except HerlBenchError as error:
        raise type(error)(f"{error} (run: {run.directory})") if str(run.directory) not in str(error) else error from None
    if run.interrupted:
        click.echo(f"Interrupted; to go on: herl-bench run --resume {run.directory}", err=True)
        return INTERRUPTED
    show_outcome(run)
    try_report(run.directory)
    host.call("herl_run_finished", run=run)
    report_problems(host)
    return 0


def _opening(run: Any) -> str:
    data = "synthetic problems" if run.data.source == "synthetic" else run.data.source
    text = (
        f"{run.task.name}: {run.method.name} on {data}, {run.budget.tokens:,} tokens, model {run.settings.model}; writing {run.directory}"
    )
    if run.data.source == "synthetic" and run.task.world and run.task.world.planted:
        text += f"\nPlanted: {run.task.world.planted}"
    return text


def config_text(settings: Settings, config: Any, task: Task, source: str) -> str:
    """A run's config.yaml: every setting, resolved. source: what `data` came to."""
    import dataclasses

    import yaml

    values = dataclasses.asdict(settings)
    values["rubric"] = values["rubric"] or task.rubric
    values["template"] = values["template"] or task.template
    values["data"] = source
    return yaml.safe_dump({**values, "set": dataclasses.asdict(config)}, sort_keys=False, allow_unicode=True)


def _check_tracker(name: str) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(str(n) for n in LOGGER_TYPE_TO_CLASS)
    if name not in known:
        raise UnknownName("tracker", name, known)
    if name not in [str(getattr(n, "value", n)) for n in get_available_trackers()]:
        raise UsageError(f"--report_to {name}: that package is not installed: pip install {name}")


@contextmanager
def _interruptible(run: Any, face: Any) -> Iterator[None]:
    """The first Ctrl-C ends the run after this step with a checkpoint; the second ends it at once, with the last one."""

    def on_signal(number: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True
        face.say("Finishing this step, then saving a checkpoint. Ctrl-C again stops at once.")

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
