"""Ask, without training, what hindsight would bring a model on a task, as one call.

    found = herl_bench.probe("gsm8k", "CHECKPOINT", items=200)
    found.gaps[0].value, found.expectation

Training problems are drafted as training drafts them; the failures are then asked again in every arm. All answers are
kept as they are judged, and the same call goes on where a killed one stopped. `herl-bench probe` calls exactly this.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench import locking
from herl_bench.comparison import probe_schema as schema
from herl_bench.comparison.expectation import forecast_gain, say_expectation
from herl_bench.comparison.forecast import read_forecast
from herl_bench.comparison.guidance_gap import describe_arms, describe_drafts, measure_gaps, measure_pass_at
from herl_bench.comparison.probe_tables import write_markdown
from herl_bench.errors import UsageError
from herl_bench.evaluation import probe_answers
from herl_bench.evaluation.probe_answers import AnswerFile, Asker, Record
from herl_bench.evaluation.probe_arms import Revising, check_names, list_arms
from herl_bench.evaluation.result_files import sanitize_name
from herl_bench.evaluation.sample_files import fingerprint
from herl_bench.evaluation.sampling import Sampling, default_max_new_tokens, resolve_sampling
from herl_bench.evaluation.tally import LOUD
from herl_bench.experiment import resolve
from herl_bench.experiment.configuration import build_settings
from herl_bench.experiment.evaluate import read_run_settings
from herl_bench.locate import find_version
from herl_bench.plugins import Host, load_host
from herl_bench.progress import open_bar
from herl_bench.report.report import try_report
from herl_bench.runs import find_folder, make_frame, make_html_table
from herl_bench.saving import write_whole
from herl_bench.settings import RUN_SETTINGS, Request, Settings, build
from herl_bench.types import Environment, Example, Task

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.policy.answerer import Answerer
    from herl_bench.training.config import HeRLConfig

log = logging.getLogger("herl_bench")

ANSWERS, TABLE = "answers.jsonl", "probe.md"
METHOD_SETTINGS = (
    *("temperature", "revision_temperature", "hint_level", "revise_form", "max_new_tokens", "truncation", "preset"),
)
"""What of HeRL's settings decides how a failure is asked again."""
UNUSED = ("method", "budget", "deterministic", "report_to")
"""What of a run's settings means nothing without training."""


@dataclass(frozen=True, repr=False)
class Probe(schema.Probe):
    """folder: where it was written."""

    folder: Path

    def to_pandas(self) -> Any:
        """The arms as a DataFrame."""
        return make_frame([asdict(arm) for arm in self.arms])

    def __repr__(self) -> str:
        return f"<Probe of {self.model} on {self.task}: {self.expectation} In {self.folder}>"

    def _repr_html_(self) -> str:
        rows = [[arm.key, f"{arm.repaired.value:.1%}", f"{arm.reward.value:.3f}"] for arm in self.arms]
        return make_html_table([f"{self.task} · {self.model}", "repaired", "reward"], rows)


def probe(
    task: str | None = None,
    model: str | os.PathLike[str] = "tiny",
    *,
    items: int = 200,
    arms: Sequence[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    output_dir: str | os.PathLike[str] = "runs",
    trust_remote_code: bool = False,
    model_args: str | Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Probe:
    """Measure what own guidance repairs that sampling anew does not, without training.

    task: its name; None for a run's own. model: `tiny`, the task's embedded policy, if left out; or a run's folder, a
        checkpoint folder, a GGUF file, a hub id, or `openai` for a server, with `model_args`.
    items: training problems to draft. arms: which ways of asking again, by name; all if left out.
    data, seed, device, dtype: as for `train`; a run's own if left out.
    output_dir: where the folder `TASK-probe-MODEL-sSEED` is made, or gone on in.
    trust_remote_code: run Python code that the model brings along.
    progress: None for a bar where one can be drawn, True or False for one or none.
    settings: of a run or of HeRL, as far as they decide how failures are asked again, such as `revision_temperature`.

    Raises `UsageError` for what cannot be done as asked, with what to write instead.
    """
    if not isinstance(items, int) or isinstance(items, bool) or items < 1:
        raise UsageError(f"items={items!r}: a whole number of training problems, at least 1")
    if isinstance(arms, str):
        raise UsageError(f"arms={arms!r}: write a list of names")
    if isinstance(model_args, Mapping):
        model_args = ",".join(f"{name}={value}" for name, value in model_args.items())
    named = {"task": task, "data": data, "seed": seed, "device": device, "dtype": dtype}
    given = {name: value for name, value in named.items() if value is not None}
    given |= {name: os.fspath(value) for name, value in given.items() if isinstance(value, os.PathLike)}
    asked = Request({}, {}, {}).add({**given, **settings, "model": os.fspath(model)})
    how = Options(items, arms, find_folder(output_dir, "output_dir"), trust_remote_code, model_args, progress)
    return carry_out(load_host(), asked, how)


@dataclass(frozen=True)
class Options:
    """As `probe` takes them. say: gets lines about what goes on."""

    items: int = 200
    arms: Sequence[str] | None = None
    output_dir: Path = Path("runs")
    trust_remote_code: bool = False
    model_args: str | None = None
    progress: bool | None = None
    say: Callable[[str], None] = log.info


def carry_out(host: Host, asked: Request, options: Options) -> Probe:
    """asked: settings of a run and of HeRL, with where each was written."""
    from herl_bench.data.sources import open_data, restrict_problems
    from herl_bench.training.training_run import check_parent

    check_names(options.arms)
    check_parent(options.output_dir)
    run = read_run_settings(str(asked.run.get("model", "tiny")))
    settings, config = read_settings(host, asked, run)
    task = restrict_problems(host.get("task", settings.task), settings.problems)
    environment = resolve.find_environment(host, task, settings.rubric, settings.template)
    resolve.warn_of_problems(host)
    embedded = "tiny" in (settings.model, run.get("model"))
    wanted: dict[str, Any] = {name: getattr(settings, name) for name in ("seed", "eval_items", "difficulty")}
    data = open_data(task, settings.data, embedded=embedded, **wanted)
    with ExitStack() as stack:
        model = _load_model(stack, task, settings, options)
        work = _Work(settings, config, options, environment, data, model)
        sandbox = stack.enter_context(resolve.open_sandbox(host, task, settings.sandbox, settings.integrity))
        return work.carry_out(sandbox)


# ---------------------------------------------------------------------------------------------------- what is asked for
def read_settings(host: Host, asked: Request, run: Mapping[str, Any]) -> tuple[Settings, HeRLConfig]:
    """What is asked for wins over `run`, the settings of the run whose policy this is; empty for any other model.
    Raises `UsageError`."""
    from herl_bench.training.config import HeRLConfig

    for name in (*asked.run, *asked.method):
        trains = name in UNUSED if name in RUN_SETTINGS else name not in METHOD_SETTINGS
        if trains and (name in RUN_SETTINGS or name in {f.name for f in fields(HeRLConfig)}):
            takes = ", ".join(METHOD_SETTINGS)
            raise UsageError(f"{asked.origin.get(name, '')}{name}: nothing is trained: leave it out; it takes {takes}")
    own = {name: value for name, value in run.items() if name in RUN_SETTINGS and name not in (*UNUSED, "device")}
    method = {name: value for name, value in (run.get("set") or {}).items() if name in METHOD_SETTINGS}
    if asked.run.get("task", run.get("task")) != run.get("task"):  # another task has another source, rubric, length, …
        own = {name: own[name] for name in ("dtype", "chat_template_kwargs") if name in own}
        method.pop("max_new_tokens", None)
    values = {**own, **asked.run, "method": "herl"}
    if not values.get("task"):
        dashes = "--" if asked.origin.get("model") else ""
        raise UsageError(f"{dashes}task is missing: choose from {', '.join(sorted(host.entries('task')))}")
    settings = build_settings(values, asked.origin)
    config: HeRLConfig = build(HeRLConfig, {**method, **asked.method}, asked.origin, RUN_SETTINGS)
    return settings, config


def _load_model(stack: ExitStack, task: Task, settings: Settings, options: Options) -> Answerer:
    from herl_bench.policy.placement import use_threads

    model = resolve.find_answerer(
        settings.model,
        options.model_args,
        device=settings.device,
        dtype=settings.dtype,
        trust_remote_code=options.trust_remote_code,
        chat_template_kwargs=settings.chat_template_kwargs,
    )(task)
    if (placement := getattr(model, "placement", None)) is not None:
        stack.enter_context(use_threads(placement.threads))
    return model


def take_problems(data: Data, items: int) -> list[Example]:
    """The first `items` of what training reads. A finite set comes again and again: each problem once."""
    found: dict[str, Example] = {}
    for example in islice(data.train(), 4 * items):
        found.setdefault(example.id, example)
        if len(found) == items:
            break
    return list(found.values())


# ------------------------------------------------------------------------------------------------------------- the work
class _Work:
    """One probe: its questions, its folder, its numbers."""

    def __init__(
        self,
        settings: Settings,
        config: HeRLConfig,
        options: Options,
        environment: Environment,
        data: Data,
        model: Answerer,
    ):
        from herl_bench.hindsight import choose_form, try_template

        self.settings, self.config, self.options, self.data, self.model = settings, config, options, data, model
        self.environment = replace(environment, think=settings.think)
        self.revising = Revising(
            form=choose_form(config.revise_form, model.chat),
            level=config.hint_level,
            temperature=config.revision_temperature,
            plain_temperature=config.temperature,
        )
        self.arms = list_arms(self.revising, options.arms)
        self.problems = take_problems(data, options.items)
        try_template(environment.template, environment.rubric, self.problems[:1])
        longest = config.max_new_tokens or default_max_new_tokens(environment.task, data.source)
        sampling = Sampling(longest, seed=settings.seed, system_instruction=settings.system_instruction)
        self.sampling = resolve_sampling(sampling, model, environment.task)

    @property
    def model_name(self) -> str:
        """Without the folders before it: a probe says the same wherever its model lies."""
        return self.model.name if self.settings.model == "openai" else Path(self.settings.model).name

    def carry_out(self, sandbox: Any) -> Probe:
        self.environment = replace(self.environment, sandbox=sandbox)
        mark = self._make_mark()
        folder = self._find_folder(mark)
        with locking.lock_folder(folder, "probe"):
            drafts, revisions = self._ask_all(AnswerFile(folder / ANSWERS, mark))
            found = Probe(**vars(self._sum_up(drafts, revisions)), folder=folder)
            write_whole(folder / schema.PROBE, schema.to_json(found))
            write_whole(folder / TABLE, write_markdown(found))
            try_report(folder)
        return found

    def _make_mark(self) -> str:
        from herl_bench.data.examples import digest_items

        asked = {**vars(self.sampling), "batch_size": self.model.batch_size, "revising": asdict(self.revising)}
        asked |= {"arms": [asdict(arm) for arm in self.arms], "template": asdict(self.environment.template)}
        rules = {
            "integrity": self.settings.integrity,
            "think": self.settings.think,
            "truncation": self.config.truncation,
        }
        return fingerprint(self.model.identity, self.environment, asked, digest_items(self.problems), rules)

    def _find_folder(self, mark: str) -> Path:
        """That of this very probe, or the first whose name is free."""
        name = f"{self.environment.task.name}-probe-{sanitize_name(self.model_name)}-s{self.settings.seed}"
        for number in count(1):
            folder = self.options.output_dir / (name if number == 1 else f"{name}-{number}")
            begun = [path.name for path in folder.iterdir() if path.name != locking.NAME] if folder.exists() else []
            if not begun or probe_answers.read_mark(folder / ANSWERS) == mark:
                return folder
        raise AssertionError

    def _ask_all(self, file: AnswerFile) -> tuple[list[Record], list[Record]]:
        name, options = self.environment.task.name, self.options
        asker = Asker(self.model, self.environment, self.sampling, self.config.truncation)
        most = len(self.problems) * (self.sampling.max_new_tokens or 0)
        options.say(
            f"{name}: drafting {len(self.problems)} training problems of {self.data.source}: {most:,} tokens at most"
        )
        if file:
            options.say(f"{name}: {len(file)} answers are in {file.path} already: going on")
        began = time.monotonic()
        questions = probe_answers.list_drafts(self.problems, self.revising.plain_temperature)
        with open_bar(f"{name}: drafts", len(questions), options.progress) as advance:
            drafts = asker.answer_all(questions, file, advance)
        seconds = time.monotonic() - began
        known = {example.id: example for example in self.problems}
        failures = probe_answers.find_failures(drafts, known, self.environment.think)
        questions = probe_answers.list_revisions(failures, self.arms, self.environment)
        options.say(f"{name}: {describe_cost(drafts, questions, seconds, file.made)}")
        with open_bar(f"{name}: asked again", len(questions), options.progress) as advance:
            return drafts, asker.answer_all(questions, file, advance)

    def _sum_up(self, drafts: Sequence[Record], revisions: Sequence[Record]) -> schema.Probe:
        settings, revising = self.settings, self.revising
        numbers, gaps = describe_drafts(drafts), tuple(measure_gaps(revising, revisions))
        arms = tuple(describe_arms(self.arms, drafts, revisions))
        pass_at = measure_pass_at(drafts, revisions, revising.plain_temperature)
        # The study's policies are all warm-started, and all its problems synthetic.
        studied = resolve.is_embedded(settings.model) and self.data.source == "synthetic"
        forecast = read_forecast() if studied else None
        return schema.Probe(
            task=self.environment.task.name,
            model=self.model_name,
            source=self.data.source,
            metric=self.environment.metrics[0].key,
            items=len(self.problems),
            seed=settings.seed,
            settings={
                "temperature": revising.plain_temperature,
                "revision_temperature": revising.temperature,
                "hint_level": revising.level,
                "revise_form": revising.form,
                "max_new_tokens": self.sampling.max_new_tokens,
                "truncation": self.config.truncation,
                "rubric": self.environment.rubric.name,
                "template": self.environment.template.name,
                **{name: getattr(settings, name) for name in ("difficulty", "problems", "think", "integrity")},
            },
            drafts=numbers,
            pass_at=pass_at,
            arms=arms,
            gaps=gaps,
            notes=tuple(self._list_notes(numbers, arms)),
            expectation=say_expectation(numbers, gaps, pass_at, forecast),
            forecast=forecast_gain(numbers, gaps, forecast),
            version=find_version("herl-bench") or "",
        )

    def _list_notes(self, drafts: schema.Drafts, arms: Sequence[schema.ArmResult]) -> list[str]:
        notes = []
        if len(self.problems) < self.options.items:
            notes.append(f"there are only {len(self.problems)} training problems, not {self.options.items}")
        if drafts.cut_off > LOUD:
            reward = "count as reward 0" if self.config.truncation == "penalise" else "are left out"
            notes.append(f"{drafts.cut_off:.0%} of the drafts were cut off by max_new_tokens, and {reward}")
        if undecided := drafts.undecided + sum(arm.undecided for arm in arms):
            notes.append(f"{undecided} answers could not be decided: drafts are left out, all others count as reward 0")
        if silent := [arm.key for arm in self.arms if arm.key not in {found.key for found in arms}] if arms else []:
            notes.append(f"nothing to ask in {', '.join(silent)}")
        return notes


def describe_cost(
    drafts: Sequence[Record], questions: Sequence[probe_answers.Question], seconds: float, made: int
) -> str:
    """What asking again will cost, from the length of the drafts that failed. made: answers that took `seconds`."""
    lengths = {draft["key"]: draft["tokens"] for draft in drafts}
    by_arm: dict[str, int] = {}
    for question in questions:
        by_arm[question.arm] = by_arm.get(question.arm, 0) + lengths[question.draft]
    if not questions:
        return "no draft failed in a way that could be asked again"
    failures, total = len({question.draft for question in questions}), sum(by_arm.values())
    words = f"{failures} of {len(drafts)} drafts failed; to ask them again takes about {total:,} tokens ("
    words += ", ".join(f"{_name_arms(by_arm, tokens)} {tokens:,}" for tokens in dict.fromkeys(by_arm.values())) + ")"
    spent = sum(draft["tokens"] for draft in drafts)
    if made == len(drafts) and spent:
        words += f"; about {max(1, round(total / spent * seconds / 60))} min"
    return words


def _name_arms(by_arm: Mapping[str, int], tokens: int) -> str:
    """Those that cost so much."""
    names = [arm for arm, cost in by_arm.items() if cost == tokens]
    return names[0] if len(names) == 1 else f"each of {', '.join(names)}"
