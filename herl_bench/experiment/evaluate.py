"""Evaluate a run, a model or a server on tasks, as one call.

    found = herl_bench.evaluate("gsm8k", "runs/gsm8k-herl-s0", limit=100)
    found.metrics, found.rows, found.to_pandas()

A run is evaluated as it evaluates itself: on its own source and items, by its own rubric, with its own settings, as far
as nothing else is asked for. Where results are written, samples are appended as they are made, and the same call goes
on where a killed one stopped. `herl-bench eval` calls exactly this.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from herl_bench.errors import UnknownName, UsageError
from herl_bench.evaluation import evaluate as responses
from herl_bench.evaluation.judging import NO_TEMPLATE, Row, describe_row
from herl_bench.evaluation.problems import describe_problems, find_nothing_judged
from herl_bench.evaluation.refine import Critique, Refinement, refine
from herl_bench.evaluation.result_files import NAMESPACE, describe_model, new_stamp, sanitize_name, write_results
from herl_bench.evaluation.sample_files import SampleWriter, fingerprint
from herl_bench.evaluation.sampling import SEEDS, Sampling, default_max_new_tokens, resolve_sampling
from herl_bench.evaluation.scores import PASS_AT
from herl_bench.evaluation.tally import Problem, Summary, list_warnings
from herl_bench.experiment import resolve
from herl_bench.experiment.evaluation_request import Request, build_lm_eval_options, check_request, read_sampling
from herl_bench.experiment.lm_eval import PREFIX, LmEvalTasks, load_lm_eval, split_names
from herl_bench.plugins import Host, load_host
from herl_bench.policy.placement import use_threads
from herl_bench.progress import open_bar
from herl_bench.runs import Rows, Run, RunFiles, make_html_table, read_config
from herl_bench.saving import write_whole
from herl_bench.types import Environment, ReviseForm, Task, Think

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.policy.answerer import Answerer, ResolvedSampling

log = logging.getLogger("herl_bench")


# ------------------------------------------------------------------------------------------------------- what comes out
@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a model, or a file of responses, comes to on a task.

    of: the model or file. source: where the items came from. rows: one per response, with its metrics, criteria,
    reward, verdicts, and what could not be decided. available: the source's items before any limit, None where they are
    endless or unknown. unparsed: responses without a final answer. reasons: what kept responses from being judged, in
    words. results: the file that was written.
    """

    task: str
    of: str
    source: str
    summary: Summary
    rows: Rows
    available: int | None = None
    unparsed: int = 0
    problems: Mapping[str, Problem] = field(default_factory=dict)
    reasons: Sequence[str] = ()
    refinement: Refinement | None = None
    results: Path | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """By metric: its value; the first is the task's primary one. Uncertainty stands in `summary`."""
        return {key: score.value for key, score in self.summary.metrics.items()}

    @property
    def criteria(self) -> dict[str, float | None]:
        """By criterion: the share of items that meet it."""
        return {name: score.value for name, score in self.summary.criteria.items()}

    @property
    def warnings(self) -> list[str]:
        """What can make the numbers mean something else than they say."""
        return [*list_warnings(asdict(self.summary)), *self.reasons]

    def to_pandas(self) -> Any:
        """The rows as a DataFrame."""
        return self.rows.to_pandas()

    def check(self) -> None:
        """Raises `HerlBenchError` where no response was given or could be judged: a table of zeros is no result."""
        if error := find_nothing_judged(asdict(self.summary), self.reasons, f"{self.task}: "):
            raise error

    def __repr__(self) -> str:
        scores = ", ".join(" ".join(line[:2]) for line in self._make_lines()[: len(self.summary.metrics)])
        undecided = f", {self.summary.undecided} undecided" if self.summary.undecided else ""
        return f"<Evaluation of {self.of} on {self.task}: {scores} over {self.summary.items} items{undecided}>"

    def _repr_html_(self) -> str:
        return make_html_table([f"{self.task} · {self.of}", "value", "items", "undecided"], self._make_lines())

    def _make_lines(self) -> list[list[str]]:
        scores = {**self.summary.metrics, **self.summary.criteria}
        return [[name, str(score), str(score.items), str(score.undecided)] for name, score in scores.items()]


@dataclass(frozen=True)
class Outcome:
    """Of all tasks that were asked for. model: its name. lm_eval: lm-eval's tasks, where there were any."""

    model: str
    evaluations: Mapping[str, Evaluation]
    lm_eval: LmEvalTasks | None = None
    results: Path | None = None


# ---------------------------------------------------------------------------------------------------- what is asked for
def evaluate(
    task: str | None,
    model: str | Path | Run,
    *,
    data: str | Path | None = None,
    limit: int | float | None = None,
    n: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int | None = None,
    seed: int | None = None,
    num_fewshot: int | None = None,
    system_instruction: str | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    think: Think | None = None,
    refine: int = 0,
    critique: Critique = "reference_free",
    rubric: str = "",
    sandbox: str = "default",
    integrity: str | None = None,
    pass_at: Sequence[int] | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    output_path: str | Path | None = None,
    log_samples: bool = False,
    trust_remote_code: bool = False,
    model_args: str | Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Evaluate a model on a task.

    task: its name; None for a run's own. model: a run or its folder, `tiny`, a checkpoint folder, a hub id, or `openai`
        for a server, with `model_args` (`base_url`, `model`, …).
    data: `auto`, `synthetic`, `hub` or a folder; a run's own source if left out. limit: at most so many items, or a
        share of them.
    n: responses per item, for pass@k; needs a temperature. pass_at: the k. temperature: 0 takes the likeliest token.
    seed: of the sampling and the few-shot examples; 0 and 1234 if left out, as lm-eval's.
    chat_template_kwargs: variables that the chat template reads, such as {"enable_thinking": False}. think: `drop`, if
        nothing says otherwise, judges a response without its thoughts; `keep` with them.
    refine: let the model revise its answers for so many rounds, told what `critique` says.
    rubric: another's name or file. integrity: `split` refuses verdicts that a program's own objects had a word in.
    device: `auto` (an accelerator where there is one) if left out, `cpu`, `cuda`, `cuda:N` or `mps`. dtype: of the
        weights, `float32`, `bfloat16` or `auto` (bfloat16 where a CUDA device has it); a run's own, else `auto`.
    output_path: where results go, into a folder named after the model. If left out, a run's go into its `eval/final`,
        and those of any other model are not written. log_samples: also keep every sample.
    progress: None for a bar where one can be drawn, True or False for one or none.

    Raises `UsageError` for what cannot be done as asked, and `HerlBenchError` where no response could be judged.
    """
    if not isinstance(task, (str, type(None))):
        raise UsageError(f"task: name one, not a {type(task).__name__}: call evaluate once for each")
    if limit is not None and (not isinstance(limit, (int, float)) or limit <= 0):
        raise UsageError(f"limit={limit!r}: a number of items, or a share of them below 1; None for all")
    asked = {**locals(), "tasks": None if task is None else [task], "seed": SEEDS if seed is None else (seed,) * 4}
    del asked["task"]
    if isinstance(model, Run):
        asked["model"] = model.directory
    if isinstance(model_args, Mapping):
        asked["model_args"] = ",".join(f"{name}={value}" for name, value in model_args.items())
    if task is not None and task.startswith(PREFIX):
        raise UsageError(f"{task} is lm-eval's: run it with herl-bench eval, or lm_eval.simple_evaluate")
    for name in ("model", "data", "output_path"):
        asked[name] = None if asked[name] is None else str(asked[name])
    asked["pass_at"] = tuple(sorted(set(pass_at))) if pass_at else None
    request = Request(**asked)
    (found,) = carry_out(load_host(), request).evaluations.values()
    found.check()
    return found


def carry_out(host: Host, request: Request) -> Outcome:
    """All that was asked for, into one results file."""
    run = read_run_settings(request.model)
    if request.tasks is None and not run:
        raise UsageError(f"--tasks is missing: choose from {', '.join(sorted(host.entries('task')))}")
    own_names, lm_names = split_names([run["task"]] if request.tasks is None else request.tasks)
    tasks = [_find_task(host, name) for name in own_names]
    check_request(request, own_names, lm_names)
    for task in tasks:
        _check_source(task, _choose_source(request, run if run.get("task") == task.name else {}))
    sampling = read_sampling(request) if tasks else Sampling(1)
    resolve.warn_of_problems(host)
    started = time.time()
    models = resolve.find_answerer(
        request.model,
        request.model_args,
        device=request.device or "auto",
        dtype=request.dtype or str(run.get("dtype") or "auto"),
        trust_remote_code=request.trust_remote_code,
        chat_template_kwargs=_choose_chat_template_kwargs(request, run),
    )
    model = models(tasks[0] if tasks else None)
    folder = RunFiles(Path(model.name)).evaluation("final") if run else None  # None: nothing is written
    if request.output_path:
        folder = Path(request.output_path) / sanitize_name(model.name)
    lm_eval = None
    if lm_names:
        options = build_lm_eval_options(request, own_names)
        lm_eval = load_lm_eval(lm_names, models(None), options, request.include_path, request.data)
    done = [_TaskEvaluation(host, request, run, task, models(task), sampling) for task in tasks]
    with ExitStack() as stack:
        if (placement := getattr(model, "placement", None)) is not None:
            stack.enter_context(use_threads(placement.threads))
        for each in done:
            each.carry_out(stack, folder)
        if lm_eval is not None:
            lm_eval.run(folder)
        results = None if folder is None else _write_results(request, model, folder, done, lm_eval, started)
    found = {name: replace(each.evaluation, results=results) for name, each in zip(own_names, done, strict=True)}
    return Outcome(model.name, found, lm_eval, results)


def _choose_chat_template_kwargs(request: Request, run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is asked for wins over a run's own."""
    own = run.get("chat_template_kwargs")
    given = own if request.chat_template_kwargs is None else request.chat_template_kwargs
    if not isinstance(given, (Mapping, type(None))):
        raise UsageError(f"chat_template_kwargs={given!r}: write a mapping, such as {{enable_thinking: false}}")
    return given


def _choose_source(request: Request, own: Mapping[str, Any]) -> str:
    """own: settings of the run that is evaluated, if it is of this task."""
    return str(request.data or own.get("data") or "auto")


def _check_source(task: Task, source: str) -> None:
    """Raises `DataError` for one that is not there: before the model is loaded, which takes seconds."""
    from herl_bench.data.sources import resolve_source

    if source != "auto":  # what that comes to depends on the model
        resolve_source(task, source, embedded=False)


def _find_task(host: Host, name: str) -> Task:
    try:
        task: Task = host.get("task", name)
    except UnknownName as error:
        more = f"; a task of lm-eval's is {PREFIX}{name}" if "choose from" in str(error) else ""
        raise UsageError(f"{error}{more}") from None
    return task


def read_run_settings(model: str) -> dict[str, Any]:
    """The settings of a run's folder; empty where `model` is none. Raises `UsageError` without a trained policy."""
    files = RunFiles(Path(model))
    if not files.exists or (files.directory / "config.json").is_file():
        return {}
    if not files.final_config.is_file():
        raise UsageError(f"the run {model} has no final/ yet: finish it with herl-bench run --resume {model}")
    settings = read_config(files.directory)
    if not isinstance(settings.get("task"), str):
        raise UsageError(f"{files.config}: no task in it: not a run's settings")
    return settings


# ------------------------------------------------------------------------------------------------------------- one task
class _TaskEvaluation:
    """One task of our own. run: settings of the run that is evaluated, if it is one. section: its part of the results
    file. journal: a server's answers, until the results stand."""

    evaluation: Evaluation
    section: dict[str, Any]
    writer: SampleWriter | None = None
    journal: Path | None = None
    form: ReviseForm | Literal["auto"] = "auto"

    def __init__(
        self, host: Host, request: Request, run: Mapping[str, Any], task: Task, model: Answerer, sampling: Sampling
    ):
        from herl_bench.data.sources import draw_examples, restrict_problems
        from herl_bench.hindsight import FORMS, try_template

        own = run if run.get("task") == task.name else {}
        task = restrict_problems(task, own.get("problems"))
        source = _choose_source(request, own)
        embedded = model.name == "tiny" or own.get("model") == "tiny"
        where: dict[str, Any] = {"embedded": embedded, "difficulty": own.get("difficulty")}
        self.host, self.request, self.model = host, request, model
        self.data = _open_items(task, source, request, own.get("eval_items"), where)
        rubric = resolve.find_rubric(host, task, request.rubric or str(own.get("rubric") or ""))
        template, metrics = NO_TEMPLATE, resolve.find_metrics(host, task)
        if request.refine:
            template = resolve.find_template(host, task, str(own.get("template") or ""))
            trained_in = (own.get("set") or {}).get("revise_form")
            self.form = trained_in if trained_in in FORMS else "auto"
            try_template(template, rubric, self.data.eval[:1])
        self.environment = Environment(
            task, rubric, template, metrics, think=request.think or own.get("think") or "drop"
        )
        self.pass_at = request.pass_at or PASS_AT
        self.integrity = request.integrity or str(own.get("integrity") or "shared")
        told = sampling.system_instruction
        if told is None and own.get("system_instruction") is not None:
            told = str(own["system_instruction"])
        longest = sampling.max_new_tokens or int((own.get("set") or {}).get("max_new_tokens") or 0)
        self.sampling = replace(
            sampling,
            max_new_tokens=longest or default_max_new_tokens(task, self.data.source),
            system_instruction=told,
            shots=draw_examples(task, source, request.num_fewshot or 0, seed=request.seed[3], **where),
        )
        self.settings = resolve_sampling(self.sampling, model, task)

    def carry_out(self, stack: ExitStack, folder: Path | None) -> None:
        """stack: keeps the writer open."""
        request, model, task, items, n = self.request, self.model, self.environment.task, self.data.eval, self.request.n
        if request.batch_size:
            model.batch_size = request.batch_size
        if request.write_out and items:
            given = model.reads(self.settings.prefix + items[0].prompt, self.settings.instruction)
            request.say(f"{task.name}: {items[0].id} is given as\n{given}")
        with (
            resolve.open_sandbox(self.host, task, request.sandbox, self.integrity) as sandbox,
            open_bar(task.name, len(items) * n, request.progress) as advance,
        ):
            environment = replace(self.environment, sandbox=sandbox)
            rows = self._open_writer(stack, folder) if folder is not None else []
            advance(len(rows))
            done = responses.evaluate(
                model,
                environment,
                items,
                self.sampling,
                done=rows,
                on_batch=None if self.writer is None else self.writer.append,
                on_answers=advance,
                pass_at=self.pass_at,
            )
            refinement = None
            if request.refine:
                how: dict[str, Any] = {"rounds": request.refine, "critique": request.critique, "form": self.form}
                refinement = refine(model, environment, done.rows, done.settings, **how)
        self._describe(done, refinement)

    def _open_writer(self, stack: ExitStack, folder: Path) -> list[Row]:
        """The rows of an earlier attempt in the folder, which is gone on from."""
        from herl_bench.data.examples import digest_items
        from herl_bench.policy.server import Server

        model, request, environment, items = self.model, self.request, self.environment, self.data.eval
        name, keep = environment.task.name, request.keeps_samples
        together = {**vars(self.settings), "batch_size": model.batch_size}  # sampling depends on who shares a batch
        judging = {"integrity": self.integrity, "pass_at": list(self.pass_at), "think": environment.think}
        mark = fingerprint(model.identity, environment, together, digest_items(items), judging)
        writer = SampleWriter(
            folder, environment, self.settings, samples=keep, resume=mark, model=model, pass_at=self.pass_at
        )
        self.writer = stack.enter_context(writer)
        if isinstance(model, Server) and not model.config.cache:
            self.journal = folder / f"responses_{name}_{mark}.jsonl.part"
            model.remember(self.journal)
        rows = writer.restore(items, responses.count_batch_items(request.n, model.batch_size))
        if rows:
            done = len(rows) // request.n
            request.say(f"{name}: {done} of {len(items)} items are in {writer.part} already: going on")
        return rows

    def _describe(self, done: responses.Evaluation, refinement: Refinement | None) -> None:
        name, data = self.environment.task.name, self.data
        origin = {"source": data.source, "sha256": dict(data.fingerprint)}
        self.section = self.writer.section(done, original=data.available, data=origin) if self.writer else {}
        if self.section and refinement is not None:
            self.section[NAMESPACE]["refined"] = {name: refinement.as_json()}
        self.evaluation = Evaluation(
            task=name,
            of=self.model.name,
            source=data.source,
            summary=done.summary,
            rows=Rows({**describe_row(row, doc_id=row.doc_id), "response": row.response} for row in done.rows),
            available=data.available,
            unparsed=sum(row.extracted is None and not row.answer.error for row in done.rows),
            problems=done.problems,
            reasons=describe_problems(done.problems, done.summary.responses, self.environment),
            refinement=refinement,
        )


def _open_items(task: Task, source: str, request: Request, run_items: int | None, where: Mapping[str, Any]) -> Data:
    """The evaluation items: those that `--samples` numbers, or as many as `--limit` says, or as the run had."""
    from herl_bench.data.sources import open_eval, select_items

    chosen, limit = (request.samples or {}).get(task.name), request.limit
    wanted = None if chosen or isinstance(limit, float) else limit or run_items
    opened = open_eval(task, source, eval_items=wanted, **where)
    if isinstance(limit, float):
        return replace(opened, eval=select_items(opened.eval, ceil(limit * len(opened.eval))))
    if chosen and chosen[-1] >= len(opened.eval):
        raise UsageError(f"--samples: {task.name} has the items 0 to {len(opened.eval) - 1}")
    return replace(opened, eval=tuple(opened.eval[i] for i in chosen)) if chosen else opened


# ---------------------------------------------------------------------------------------------------------- the results
def _write_results(
    request: Request,
    model: Answerer,
    folder: Path,
    done: Sequence[_TaskEvaluation],
    lm_eval: LmEvalTasks | None,
    started: float,
) -> Path:
    """The results first, then the samples get their names: a stop in between loses nothing."""
    from herl_bench.policy.server import parse_model_args

    stamp = new_stamp(folder)
    results = write_results(
        folder,
        stamp,
        [*(each.section for each in done), *([lm_eval.section] if lm_eval else [])],
        model_name=model.name,
        model_args=parse_model_args(request.model_args) if request.model_args else None,
        config={
            "limit": request.limit,
            **({"integrity": request.integrity} if request.integrity else {}),
            "batch_size": request.batch_size or None,
            "fewshot_seed": request.seed[3],
            **(lm_eval.describe_config(alone=not done) if lm_eval else {}),
        },
        facts=describe_model(model) | (lm_eval.describe_prompts() if lm_eval and not done else {}),
        settings=done[0].settings if done else ResolvedSampling(),
        started=started,
    )
    if lm_eval is not None:
        lm_eval.keep_samples(folder, stamp, request.keeps_samples)
    for each in done:
        if each.writer is not None:
            each.writer.keep(stamp)
        if each.journal is not None:
            each.journal.unlink(missing_ok=True)
    for each in done:
        if each.evaluation.refinement is not None and request.keeps_samples:
            lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in each.evaluation.refinement.lines()]
            write_whole(folder / f"refined_{each.evaluation.task}_{stamp}.jsonl", "".join(lines))
    return results
