"""`herl-bench run`: train a policy on a task, and evaluate it before and after."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.budget import Budget, parse_tokens
from herl_bench.cli import report_problems
from herl_bench.cli.output import keep
from herl_bench.cli.score_tables import check_evaluation, integrity_option
from herl_bench.cli.trust import trust_option
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.experiment.resolve import find_environment, load_named_policy, open_sandbox
from herl_bench.plugins import Host
from herl_bench.types import Method, Task

if TYPE_CHECKING:
    from herl_bench.settings import Settings


@click.command("run")
@click.option("--task", "--tasks", help="Name of the task (herl-bench ls tasks).")
@click.option("--method", help="Name of the method: herl (default), ppo, … (herl-bench ls methods).")
@click.option("--model", help="tiny (default: the task's embedded policy), a checkpoint folder, or a hub id.")
@click.option("--data", help="auto (default), synthetic, hub, or a folder with the benchmark's files.")
@click.option("--budget", help="Generated tokens to spend, such as 200k (default 100k).")
@click.option("--seed", type=int, help="Seed of everything random (default 0).")
@click.option(
    "--system_instruction",
    metavar="TEXT",
    help="Told instead of the task's own instruction, in training and evaluation.",
)
@click.option("--output_dir", default="runs", show_default=True, help="Folder for run directories.")
@click.option("--config", "config_file", help="A YAML file of settings; a run's config.yaml for example.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated.")
@click.option("--preset", help="article (default), or paper: the published code's form of herl. A --set wins over it.")
@trust_option
@click.option("--report_to", help="A tracker of accelerate's, such as tensorboard.")
@integrity_option
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; only --budget may be changed.")
@click.option(
    "--allow_changed",
    is_flag=True,
    help="Resume even where data, model, rubric or settings changed; the manifest says so.",
)
@click.pass_context
def command(
    ctx: click.Context,
    output_dir: str,
    config_file: str | None,
    assignments: tuple[str, ...],
    preset: str | None,
    resume: str | None,
    trust_remote_code: bool,
    allow_changed: bool,
    **flags: Any,
) -> int:
    """Train a policy on a task with a method, and evaluate it before and after.

    Ctrl-C, SIGTERM and SIGHUP end a run after its step, with a checkpoint and exit code 130, 143 or 129.
    """
    host: Host = ctx.obj
    if resume is not None:
        return _resume(
            host, resume, {**flags, "preset": preset}, assignments, config_file, allow_changed, trust_remote_code
        )
    if allow_changed:
        raise UsageError("--allow_changed goes with --resume")
    flags["trust_remote_code"] = trust_remote_code or None
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


def _resume(
    host: Host,
    folder: str,
    flags: dict[str, Any],
    assignments: tuple[str, ...],
    config_file: str | None,
    allow_changed: bool,
    trusted: bool,
) -> int:
    from herl_bench.locking import locked
    from herl_bench.runs import RunFiles
    from herl_bench.settings import read_yaml

    directory = Path(folder)
    if not (directory / "config.yaml").is_file():
        raise UsageError(f"--resume {folder}: no config.yaml there: name the folder of a run")
    given = [f"--{name}" for name, value in flags.items() if value is not None and name != "budget"]
    given += ["--set"] * bool(assignments) + ["--config"] * (config_file is not None)
    if given:
        raise UsageError(
            f"--resume takes every setting but --budget from {directory}/config.yaml: leave out {', '.join(given)}"
        )
    with locked(directory):
        values = read_yaml(str(directory / "config.yaml"))
        method_values = values.pop("set", {})
        origin = dict.fromkeys([*values, *method_values], f"{directory}/config.yaml: ")
        if trusted:
            values["trust_remote_code"], origin["trust_remote_code"] = True, "--"
        before = settings_of(values, origin)
        wanted = parse_tokens(flags["budget"]) if flags.get("budget") is not None else before.budget
        if RunFiles(directory).finished and wanted <= before.budget:
            return _already_finished(directory, before.budget)
        return _run(
            host, replace(before, budget=wanted), method_values, origin, resume=directory, allow_changed=allow_changed
        )


def _already_finished(directory: Path, budget: int) -> int:
    from herl_bench.cli.report import try_report

    if not (directory / "report.html").is_file():  # all that a stop can still have left out
        try_report(directory)
    click.echo(
        f"{directory} is finished, its {budget:,} tokens are spent: to go on from its end, pass a larger --budget"
    )
    return 0


def _run(
    host: Host,
    settings: Any,
    method_values: dict[str, Any],
    origin: dict[str, str],
    output_dir: Path = Path("runs"),
    resume: Path | None = None,
    allow_changed: bool = False,
) -> int:
    """Everything that can be wrong with the request is found before a folder is made."""
    from herl_bench.data.sources import open_data, restrict_problems
    from herl_bench.hindsight import try_template
    from herl_bench.locking import locked
    from herl_bench.train.training_run import TrainingRun, new_directory

    if settings.trust_remote_code and not origin.get("trust_remote_code", "").startswith("--"):
        raise UsageError(
            f"{origin.get('trust_remote_code', '')}trust_remote_code: no file can ask for that: pass"
            " --trust_remote_code if you mean it"
        )
    task = restrict_problems(host.get("task", settings.task), settings.problems)
    method = host.get("method", settings.method)
    config = config_of(method, method_values, origin, settings.model)
    environment = find_environment(host, task, settings.rubric, settings.template)
    if settings.report_to:
        _check_tracker(settings.report_to)
    report_problems(host)
    with ExitStack() as stack:
        sandbox = stack.enter_context(open_sandbox(host, task, settings.sandbox, settings.integrity))
        data = open_data(
            task,
            settings.data,
            embedded=settings.model == "tiny",
            seed=settings.seed,
            eval_items=settings.eval_items,
            difficulty=settings.difficulty,
        )
        if settings.problems and data.source != "synthetic":
            raise UsageError(
                f"problems={settings.problems}: only the synthetic world says which problems are planted: leave it out"
            )
        try_template(environment.template, environment.rubric, data.eval[:1])
        policy = load_named_policy(task, settings.model, trust_remote_code=settings.trust_remote_code)
        if resume is None:
            directory = new_directory(output_dir, f"{task.name}-{method.name}-s{settings.seed}")
            stack.enter_context(locked(directory))
        else:
            directory = resume  # locked by now
        run = TrainingRun(
            directory,
            settings,
            replace(environment, sandbox=sandbox),
            method,
            config,
            data,
            policy,
            Budget(settings.budget),
            resuming=resume is not None,
        )
        return _execute(host, run, allow_changed)


def config_of(method: Method, values: dict[str, Any], origin: dict[str, str], model: str = "tiny") -> Any:
    """The method's own configuration, checked; what is not given suits the model. Raises `UsageError`."""
    import dataclasses

    from herl_bench.experiment.resolve import is_embedded
    from herl_bench.settings import Settings, build

    own = {f.name for f in dataclasses.fields(method.config)}
    suited = (
        {} if is_embedded(model) else {k: v for k, v in getattr(method.config, "other_models", {}).items() if k in own}
    )
    return build(method.config, {**suited, **values}, origin, also=[f.name for f in dataclasses.fields(Settings)])


def _execute(host: Host, run: Any, allow_changed: bool) -> int:
    import torch
    import transformers

    from herl_bench.cli.outcome import show_outcome
    from herl_bench.cli.report import try_report
    from herl_bench.experiment.manifest import command_line, manifest
    from herl_bench.progress import open_run_progress
    from herl_bench.saving import saving, write_whole

    transformers.utils.logging.disable_progress_bar()  # it would break the display
    torch.manual_seed(run.seed)
    record = _record(run, manifest(run, host, command_line()), allow_changed)
    with saving(run.directory):  # a run that goes on has no evaluation of its end any more, and no report of that
        shutil.rmtree(run.directory / "eval" / "after", ignore_errors=True)
        (run.directory / "report.html").unlink(missing_ok=True)
    write_whole(run.directory / "config.yaml", config_text(run.settings, run.config, run.task, run.data.source))
    write_whole(run.directory / "manifest.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    keep(f"everything is in {run.directory}")
    face = open_run_progress(run, True)

    def on_step(row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        face.on_step(row, rollouts)
        host.call("herl_rollouts_judged", run=run, step=row["step"], rollouts=rollouts)

    run.on_step = on_step
    run.on_eval = face.on_eval
    signals: list[int] = []
    try:
        with face, _interruptible(run, face, signals):
            face.say(_opening(run))
            if not any((run.directory / "eval" / "before").glob("results_*.json")):
                run.evaluate("before")
            before = check_evaluation(
                run.directory / "eval" / "before", run.rubric, run.metrics, "nothing was trained: before training, "
            )
            for line in before:
                face.say(f"Warning: before training, {line}.")
            run.method.train(run)
            if not run.interrupted:
                run.save_final()
                run.evaluate("after")
    except KeyboardInterrupt:
        run.interrupted = True
    except HerlBenchError as error:
        raise (
            type(error)(f"{error} (run: {run.directory})") if str(run.directory) not in str(error) else error
        ) from None
    if run.interrupted:
        click.echo(f"Interrupted; to go on: herl-bench run --resume {run.directory}", err=True)
        return 128 + (signals or [signal.SIGINT])[0]
    show_outcome(run)
    check_evaluation(run.directory / "eval" / "after", run.rubric, run.metrics, f"{run.directory}: after training, ")
    if run.budget.rollouts:
        try_report(run.directory)
    host.call("herl_run_finished", run=run)
    report_problems(host)
    return 0


def _record(run: Any, now: dict[str, Any], allow_changed: bool) -> dict[str, Any]:
    """The manifest to write: of a new run as things are now; of a resumed one as it began, with what has changed since.

    Raises `UsageError` where something changed that the result hangs on, or its checkpoint is damaged.
    """
    from herl_bench.experiment.manifest import VERSIONS, differences
    from herl_bench.train.training_run import step_of, whole_checkpoint

    if not run.resuming:
        return now
    place, checkpoint = run.directory / "manifest.json", whole_checkpoint(run.directory)
    try:
        old = json.loads(place.read_bytes())
        changed, versions = differences(old, now), differences(old, now, VERSIONS)
    except FileNotFoundError:
        if checkpoint is None or allow_changed:
            return now
        raise UsageError(
            f"{place} is gone, so nobody knows what the run was begun with: put it back, or pass --allow_changed"
        ) from None
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        if allow_changed:
            return now
        raise UsageError(f"{place} cannot be read: put it back, or pass --allow_changed to write it anew") from None
    if changed and not allow_changed:
        told = "; ".join(_in_words(row) for row in changed)
        raise UsageError(
            f"{run.directory} was begun with other things: {told}: put them back, or pass --allow_changed to go on all"
            " the same"
        )
    for row in versions:
        click.echo(
            f"herl-bench: note: since this run began, {_in_words(row)}: its bytes may differ from those of one that"
            " never stopped",
            err=True,
        )
    news = [{**row, "step": step_of(checkpoint)} for row in (*changed, *versions)]
    return {**old, "changed": [*old.get("changed", []), *news]} if news else old


def _in_words(row: dict[str, Any]) -> str:
    was, now = (f"{v[:12]}…" if isinstance(v, str) and len(v) == 64 else v for v in (row["from"], row["to"]))
    return f"{row['what']} was {was} and is {now}"


def _opening(run: Any) -> str:
    data = "synthetic problems" if run.data.source == "synthetic" else run.data.source
    text = (
        f"{run.task.name}: {run.method.name} on {data}, {run.budget.tokens:,} tokens, model {run.settings.model};"
        f" writing {run.directory}"
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
def _interruptible(run: Any, face: Any, seen: list[int]) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the run after this step with a checkpoint; a second Ctrl-C or SIGTERM
    ends it at once.

    seen: gets the signals. A terminal that goes away sends SIGHUP more than once. Under `nohup` it is ignored, and
    stays so.
    """

    def on_signal(number: int, frame: Any) -> None:
        seen.append(number)
        if run.interrupted and number != signal.SIGHUP:
            raise KeyboardInterrupt
        if not run.interrupted:
            run.interrupted = True
            face.say("Finishing this step, then saving a checkpoint. Ctrl-C again stops at once.")

    caught = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.getsignal(number) for number in caught}
    for number in caught:
        if number == signal.SIGINT or before[number] != signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
