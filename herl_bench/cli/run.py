"""`herl-bench run`: train a policy on a task, and evaluate it before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli.options import chat_template_kwargs_option, device_option, dtype_option
from herl_bench.cli.output import keep
from herl_bench.cli.score_tables import integrity_option
from herl_bench.cli.trust import trust_option
from herl_bench.errors import UsageError
from herl_bench.runs import RunFiles
from herl_bench.settings import parse_settings

if TYPE_CHECKING:
    from herl_bench.progress import RunProgress
    from herl_bench.training.training_run import TrainingRun

RESUMED = ("budget", "device")
"""What a run that goes on may be given anew."""


@click.command("run")
@click.option("--task", "--tasks", help="Name of the task (herl-bench ls tasks).")
@click.option("--method", help="Name of the method: herl (default), ppo, … (herl-bench ls methods).")
@click.option("--model", help="tiny (default: the task's embedded policy), a checkpoint folder, or a hub id.")
@click.option("--data", help="auto (default), synthetic, hub, or a folder with the benchmark's files.")
@click.option("--budget", help="Generated tokens to spend, such as 200k (default 100k).")
@device_option
@dtype_option
@click.option("--seed", type=int, help="Seed of everything random (default 0).")
@click.option(
    "--system_instruction",
    metavar="TEXT",
    help="Told instead of the task's own instruction, in training and evaluation.",
)
@chat_template_kwargs_option
@click.option("--output_dir", default="runs", show_default=True, help="Folder for run directories.")
@click.option("--config", "config_file", help="A YAML file of settings; a run's config.yaml for example.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated.")
@click.option("--preset", help="article (default), or paper: the published code's form of herl. A --set wins over it.")
@trust_option
@click.option("--report_to", help="A tracker of accelerate's, such as tensorboard.")
@integrity_option
@click.option(
    "--resume", metavar="RUN", help="Continue the run in this folder; only --budget and --device may be changed."
)
@click.option(
    "--allow_changed",
    is_flag=True,
    help="Resume even where data, model, rubric or settings changed; the manifest says so.",
)
def command(
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

    Ctrl-C, SIGTERM and SIGHUP end a run after its step, with a checkpoint and exit code 130, 143 or 129; in the
    evaluations before and after, at once.
    """
    from herl_bench.cli.suggestions import translate_model

    if resume is not None:
        given = {**flags, "preset": preset, "set": assignments or None, "config": config_file}
        return _resume(given, resume, allow_changed, trust_remote_code)
    if allow_changed:
        raise UsageError("--allow_changed goes with --resume")
    if preset is not None:
        assignments = (f"preset={preset}", *assignments)
    request = parse_settings({**flags, "trust_remote_code": trust_remote_code or None}, assignments, config_file)
    translate_model(str(request.run.get("model", "tiny")), None)  # lm-eval's names of models are answered with ours
    return _train(config=request, output_dir=output_dir)


def _resume(flags: dict[str, Any], folder: str, allow_changed: bool, trust_remote_code: bool) -> int:
    directory = Path(folder)
    if not RunFiles(directory).exists:
        raise UsageError(f"--resume {folder}: no config.yaml there: name the folder of a run")
    given = [f"--{name}" for name, value in flags.items() if value is not None and name not in RESUMED]
    if given:
        rule = f"--resume takes every setting but --budget and --device from {directory}/config.yaml"
        raise UsageError(f"{rule}: leave out {', '.join(given)}")
    kept = {name: flags[name] for name in RESUMED if flags[name] is not None}
    return _train(resume=directory, allow_changed=allow_changed, trust_remote_code=trust_remote_code, **kept)


def _train(**how: Any) -> int:
    """Exit code of a run, with what is told of its end."""
    from herl_bench.cli.outcome import show_outcome
    from herl_bench.experiment.train import Interrupted, train
    from herl_bench.progress import open_run_progress

    shown = False

    def open_display(run: TrainingRun) -> RunProgress:
        nonlocal shown
        shown = True
        keep(f"everything is in {run.directory}")
        return open_run_progress(run, True, on_finish=show_outcome)

    try:
        run = train(**how, progress=open_display)
    except Interrupted as stop:
        click.echo(f"Interrupted; to go on: herl-bench run --resume {stop.directory}", err=True)
        return 128 + stop.signal
    if not shown:
        state = f"{run.directory} is finished, its {run.config['budget']:,} tokens are spent"
        click.echo(f"{state}: to go on from its end, pass a larger --budget")
    return 0
