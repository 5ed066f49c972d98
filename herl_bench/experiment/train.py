"""Train as one call: a policy on a task with a method, evaluated before and after.

    run = herl_bench.train(task="gsm8k", method="herl", budget="100k", learning_rate=1e-4)
    run = herl_bench.train(resume=run.directory, budget="200k")

All that can be wrong with what was asked for is found before a folder is made. `herl-bench run` calls exactly this.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shlex
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsInt

from herl_bench.budget import Budget
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.evaluation.problems import check_evaluation
from herl_bench.experiment.configuration import build_config, build_settings, format_config
from herl_bench.experiment.manifest import build_manifest, command_line, continue_manifest
from herl_bench.experiment.resolve import find_checkpoint, find_environment, open_sandbox, warn_of_problems
from herl_bench.locking import lock_folder
from herl_bench.plugins import Host, load_host
from herl_bench.progress import RunProgress, announce, open_run_progress
from herl_bench.report.report import try_report
from herl_bench.runs import Run, RunFiles, find_folder
from herl_bench.saving import saving, write_whole
from herl_bench.settings import Request, Settings, read_request, sort_request
from herl_bench.training.rates import list_rates
from herl_bench.types import Task

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.policy.placement import Placement
    from herl_bench.policy.size import ModelSize
    from herl_bench.training.training_run import TrainingRun

log = logging.getLogger("herl_bench")
CHARACTERS_PER_TOKEN = 3
"""At least, in English and in code, with the vocabularies of published models."""

Display = Callable[["TrainingRun"], RunProgress]  # opens a display of a run; see `progress.py`


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; it goes on from its newest checkpoint, or from its beginning where there is none.
    directory: of the run. signal: its number."""

    def __init__(self, directory: Path, number: int):
        super().__init__(f"stopped; to go on: herl_bench.train(resume={str(directory)!r})")
        self.directory, self.signal = directory, number


def train(
    task: str | None = None,
    method: str | None = None,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    budget: str | int | None = None,
    seed: int | None = None,
    output_dir: str | os.PathLike[str] = "runs",
    *,
    config: str | os.PathLike[str] | Mapping[str, Any] | Request | None = None,
    resume: str | os.PathLike[str] | None = None,
    trust_remote_code: bool = False,
    allow_changed: bool = False,
    progress: bool | Display | None = None,
    **settings: Any,
) -> Run:
    """Train a policy on a task with a method, and evaluate it before and after.

    task: its name. method: `herl` if left out. model: `tiny`, the task's embedded policy, if left out; or a checkpoint
        folder, a run's folder, or a hub id. data: `auto` if left out, `synthetic`, `hub`, or a folder with the
        benchmark's files. budget: generated tokens to spend, 100,000 if left out. seed: of everything random.
    output_dir: where the run's folder `TASK-METHOD-sSEED` is made.
    config: settings, as a YAML file, a mapping made like one, or a run; what is given here wins over it.
    resume: a run to go on with, or its folder; only `budget` and `device` may be changed. allow_changed: even where
        data, model, rubric or settings changed.
    trust_remote_code: run Python code that the model brings along.
    progress: None for a display where one can be drawn, True for plain lines elsewhere, False for none.
    settings: any setting of a run or of its method, such as `learning_rate=1e-4`.

    The first Ctrl-C (in a notebook: interrupt) ends the run after its step with a checkpoint, in the evaluations before
    and after at once, and raises `Interrupted`, a KeyboardInterrupt that says how to go on; a second one stops at once.
    Raises `UsageError` for what cannot be done as asked, with what to write instead, and any other `HerlBenchError` for
    what fails on the way.
    """
    named = {"task": task, "method": method, "model": model, "data": data, "budget": budget, "seed": seed}
    given = {name: value for name, value in named.items() if value is not None} | settings
    given |= {name: os.fspath(value) for name, value in given.items() if isinstance(value, os.PathLike)}
    if trust_remote_code:
        given["trust_remote_code"] = trust_remote_code
    _check_kinds(given)
    folder = find_folder(output_dir, "output_dir")
    host = load_host()
    if resume is not None:
        excess = [name for name in given if name not in ("budget", "device", "trust_remote_code")]
        excess += ["config"] * (config is not None) + ["output_dir"] * (folder != Path("runs"))
        if excess:
            raise UsageError(
                f"resume takes every setting but budget and device from {resume}: leave out {', '.join(excess)}"
            )
        return _resume(host, find_folder(resume, "resume"), given, allow_changed, progress)
    if allow_changed:
        raise UsageError("allow_changed goes with resume")
    request = _read_config(config).add(given)
    if isinstance(config, Request):
        command = shlex.join(command_line())
    else:
        command = f"herl_bench.train({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    if not request.run.get("task"):
        dashes = "--" if isinstance(config, Request) else ""
        raise UsageError(f"{dashes}task is missing: choose from {', '.join(sorted(host.entries('task')))}")
    return _train(host, request, _Options(progress, command, output_dir=folder))


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Raises `UsageError` for an object in place of its name, and for what is not one run's."""
    for name in ("set", "settings"):
        if name in given:
            raise UsageError(f"{name}: write each setting as a keyword, such as learning_rate=1e-4, or pass config")
    for name in ("task", "method", "model", "data", "rubric", "template", "sandbox"):
        kind = type(given.get(name, ""))
        if kind is not str:
            raise UsageError(f"{name} is told by its name or folder, as a string or path, not by a {kind.__name__}")
    if not isinstance(given.get("seed", 0), (str, SupportsInt)):
        raise UsageError("seed: a run has one, a whole number; herl_bench.compare trains with several")


def _read_config(config: str | os.PathLike[str] | Mapping[str, Any] | Request | None) -> Request:
    if config is None or isinstance(config, Request):
        return config or Request({}, {}, {})
    if isinstance(config, Mapping):
        return sort_request(config, "config")
    place = find_folder(config, "config")
    return read_request(str(RunFiles(place).config if RunFiles(place).exists else place))


@dataclass(frozen=True)
class _Options:
    """How a run is gone about, whatever it trains. resume: the folder to go on in, which is locked by now."""

    progress: bool | Display | None
    command: str
    output_dir: Path = Path("runs")
    resume: Path | None = None
    allow_changed: bool = False


def _resume(
    host: Host, directory: Path, given: Mapping[str, Any], allow_changed: bool, progress: bool | Display | None
) -> Run:
    files = RunFiles(directory)
    if not files.exists:
        raise UsageError(f"{directory}: no config.yaml there: name the folder of a run")
    with lock_folder(directory):
        began = read_request(str(files.config))
        began = began._replace(run={"dtype": "float32", **began.run})  # before there was a choice
        spent = build_settings(began.run, began.origin).budget
        request = began.add({"budget": spent, **given})
        if files.finished and build_settings(request.run, request.origin).budget <= spent:
            if not files.report.is_file():  # all that a stop can still have left out
                try_report(directory)
            return Run(directory)
        options = _Options(progress, shlex.join(command_line()), resume=directory, allow_changed=allow_changed)
        return _train(host, request, options)


def _train(host: Host, request: Request, options: _Options) -> Run:
    settings = build_settings(request.run, request.origin)
    where = request.origin.get("trust_remote_code", "")
    if settings.trust_remote_code and where.endswith(": "):
        raise UsageError(f"{where}trust_remote_code: no file can ask for that: pass --trust_remote_code if you mean it")
    return _train_on(host, _find_task(host, settings), settings, request, options)


def _find_task(host: Host, settings: Settings) -> Task:
    """Raises `HerlBenchError` for a task, or a source of its examples, that is not there: before torch is loaded, which
    takes seconds."""
    from herl_bench.data.sources import resolve_source, restrict_problems

    task = restrict_problems(host.get("task", settings.task), settings.problems)
    resolve_source(task, settings.data, embedded=settings.model == "tiny")
    return task


def _train_on(host: Host, task: Task, settings: Settings, request: Request, options: _Options) -> Run:
    from herl_bench.hindsight import try_template
    from herl_bench.policy.adapters import require_peft
    from herl_bench.policy.determinism import compute_deterministically
    from herl_bench.policy.load import load_policy
    from herl_bench.policy.placement import choose_placement, use_threads
    from herl_bench.policy.size import read_size
    from herl_bench.training.config import suit_to_model
    from herl_bench.training.training_run import TrainingRun, check_parent, new_directory

    method = host.get("method", settings.method)
    config = build_config(method, request.method, request.origin, settings.model, settings.trust_remote_code)
    if rank := getattr(config, "lora_rank", 0):
        require_peft(f"lora_rank={rank}")
    environment = find_environment(host, task, settings.rubric, settings.template)
    if settings.report_to:
        _check_tracker(settings.report_to)
    warn_of_problems(host)
    if options.resume is None:
        check_parent(options.output_dir)
    place = find_checkpoint(task, settings.model)
    size = read_size(place, settings.trust_remote_code)
    placement = choose_placement(settings.device, settings.dtype, size.parameters)
    settings = replace(settings, dtype=placement.dtype)
    with ExitStack() as stack:
        stack.enter_context(compute_deterministically(settings.deterministic))
        sandbox = stack.enter_context(open_sandbox(host, task, settings.sandbox, settings.integrity))
        data = _open_data(task, settings)
        try_template(environment.template, environment.rubric, data.eval[:1])
        stack.enter_context(use_threads(placement.threads))
        _tell_need(size, config, placement, data, task, options.progress)
        policy = load_policy(
            place,
            placement=placement,
            master=True,
            trust_remote_code=settings.trust_remote_code,
            chat_template_kwargs=settings.chat_template_kwargs,
        )
        policy.name = settings.model
        config = suit_to_model(config, policy.chat)
        directory = options.resume
        if directory is None:
            directory = new_directory(options.output_dir, f"{task.name}-{method.name}-s{settings.seed}")
            stack.enter_context(lock_folder(directory))
        environment = replace(environment, sandbox=sandbox, think=settings.think)
        run = TrainingRun(directory, settings, environment, method, config, data, policy, Budget(settings.budget))
        run.resuming = options.resume is not None
        with _restore_caller_state():
            _begin(host, run, options)
            _work(host, run, options.progress)
    return Run(directory)


def _tell_need(
    size: ModelSize, config: Any, placement: Placement, data: Data, task: Task, wanted: bool | Display | None
) -> None:
    """The memory that the run will need; a warning where it is more than there is."""
    from herl_bench.evaluation.sampling import default_max_new_tokens
    from herl_bench.policy.capacity import read_free_bytes
    from herl_bench.training.need import advise, describe_need, estimate_need

    response = getattr(config, "max_new_tokens", None) or default_max_new_tokens(task, data.source)
    prompt = max(len(example.prompt) for example in data.eval) // CHARACTERS_PER_TOKEN
    if getattr(config, "hindsight", False):  # a revision's prompt holds the draft too
        prompt += response
    need, free = estimate_need(size, config, placement, prompt, response), read_free_bytes(placement.device)
    without = "the adapters of its experts" if getattr(config, "lora_rank", 0) and size.has_experts else ""
    announce(describe_need(need, free, placement.device, without), wanted)
    if advice := advise(need, free, config, placement):
        log.warning("warning: %s", advice)


def _open_data(task: Task, settings: Settings) -> Data:
    from herl_bench.data.sources import open_data

    wanted: dict[str, Any] = {name: getattr(settings, name) for name in ("seed", "eval_items", "difficulty")}
    data = open_data(task, settings.data, embedded=settings.model == "tiny", **wanted)
    if settings.problems and data.source != "synthetic":
        why = "only the synthetic world says which problems are planted"
        raise UsageError(f"problems={settings.problems}: {why}: leave it out")
    return data


def _work(host: Host, run: TrainingRun, wanted: bool | Display | None) -> None:
    """Evaluate, train, evaluate, write the page, and tell the plugins. Raises `Interrupted`."""
    from herl_bench.policy.capacity import is_out_of_memory

    display = wanted(run) if callable(wanted) else open_run_progress(run, wanted)

    def on_step(row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        display.on_step(row, rollouts)
        host.call("herl_rollouts_judged", run=run, step=row["step"], rollouts=rollouts)

    run.on_step, run.on_eval, run.on_warning = on_step, display.on_eval, display.warn
    stop = _Stop()
    try:
        with display, _stop_on_signal(run, display, stop):
            _evaluate_and_train(run, display, stop)
    except KeyboardInterrupt:
        run.interrupted = True
    except HerlBenchError as error:
        if str(run.directory) in str(error):
            raise
        raise type(error)(f"{error} (run: {run.directory})") from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        remedy = "set lora_rank=16, or choose a smaller model"  # batches were halved before it came to this
        raise HerlBenchError(f"out of memory, with the smallest batches too: {remedy} (run: {run.directory})") from None
    if run.interrupted:
        raise Interrupted(run.directory, stop.signal or signal.SIGINT)
    display.finish()
    check_evaluation(run.files.evaluation("after"), run.environment, f"{run.directory}: after training, ")
    if run.budget.rollouts:
        try_report(run.directory)
    host.call("herl_run_finished", run=run)
    warn_of_problems(host)


def _begin(host: Host, run: TrainingRun, options: _Options) -> None:
    """Write what the run is of. One that goes on has no evaluation of its end any more, and no page of that."""
    import torch

    torch.manual_seed(run.seed)
    manifest = build_manifest(run, host, options.command)
    if run.resuming:
        manifest = continue_manifest(run, manifest, options.allow_changed)
    with saving(run.directory):
        shutil.rmtree(run.files.evaluation("after"), ignore_errors=True)
        run.files.report.unlink(missing_ok=True)
    write_whole(run.files.config, format_config(run.settings, run.config, run.task, run.data.source))
    write_whole(run.files.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


@dataclass
class _Stop:
    """signal: the first that asked for it; 0 for none. waits: is there a step to finish first?"""

    signal: int = 0
    waits: bool = False


def _evaluate_and_train(run: TrainingRun, display: RunProgress, stop: _Stop) -> None:
    display.say(_describe_start(run))
    if not run.files.has_evaluation("before"):
        run.evaluate("before")
    when = "nothing was trained: before training, "
    for problem in check_evaluation(run.files.evaluation("before"), run.environment, when):
        display.warn(f"before training, {problem}.")
    stop.waits = True
    run.method.train(run)
    stop.waits = False
    if not run.interrupted:
        run.save_final()
        run.evaluate("after")


def _describe_start(run: TrainingRun) -> str:
    data = "synthetic problems" if run.data.source == "synthetic" else run.data.source
    text = f"{run.task.name}: {run.method.name} on {data}, {run.budget.tokens:,} tokens, model {run.settings.model}"
    text += f"; writing {run.directory}"
    if rates := list_rates(run.config):
        text += f"\nLearning rates: {', '.join(f'{name} {rate:g}' for name, rate in rates.items())}"
    if run.data.source == "synthetic" and run.task.world and run.task.world.planted:
        text += f"\nPlanted: {run.task.world.planted}"
    if getattr(run.config, "lora_rank", 0) and not run.config.merge and Path(run.policy.path).is_file():
        text += "\nAdapter: final/ will name a GGUF file as its base, which eval --model RUN reads, but peft and"
        text += " transformers do not; with merge=true final/merged is an ordinary checkpoint"
    return text


def _check_tracker(name: str) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(str(n) for n in LOGGER_TYPE_TO_CLASS)
    if name not in known:
        raise UnknownName("tracker", name, known)
    if name not in [str(getattr(n, "value", n)) for n in get_available_trackers()]:
        raise UsageError(f"--report_to {name}: that package is not installed: pip install {name}")


@contextmanager
def _restore_caller_state() -> Iterator[None]:
    """Random states and progress bars belong to whoever calls."""
    import numpy
    import torch
    from transformers.utils import logging

    bars, state, numpy_state = logging.is_progress_bar_enabled(), random.getstate(), numpy.random.get_state()
    logging.disable_progress_bar()  # they would break the display
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(state)
        numpy.random.set_state(numpy_state)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _stop_on_signal(run: TrainingRun, display: RunProgress, stop: _Stop) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the run, in training after this step with a checkpoint; a second Ctrl-C
    or SIGTERM ends it at once. Python lets only the main thread hear of signals: in another one nothing is caught.

    A terminal that goes away repeats SIGHUP. Under `nohup` that is ignored, and stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: Any) -> None:
        first, run.interrupted = not run.interrupted, True
        if first:
            stop.signal = number
        if first and stop.waits:
            display.say("Finishing this step, then saving a checkpoint. Ctrl-C again stops at once.")
        elif first or number != signal.SIGHUP:
            raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in handlers.items():
        if number == signal.SIGINT or handler != signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
