"""What an evaluation is asked for: every option of `herl-bench eval`, and what does not go together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.errors import UsageError
from herl_bench.evaluation.refine import Critique
from herl_bench.evaluation.sampling import SEEDS, Sampling
from herl_bench.experiment.lm_eval import PREFIX
from herl_bench.types import Think

if TYPE_CHECKING:
    from herl_bench.evaluation.lm_eval_run import Options

GEN_KWARGS = ("temperature", "do_sample", "max_gen_toks", "until")

log = logging.getLogger("herl_bench")


@dataclass(frozen=True)
class Request:
    """As `herl-bench eval` takes it. tasks: names, lm-eval's as `lm_eval:NAME`; None for a run's own. limit: below 1 a
    share of the items. seed: Python's, numpy's, torch's and of the few-shot examples, as lm-eval's; our own tasks take
    first and last. device, dtype, chat_template_kwargs, think: None for a run's own, else the default. say: gets lines
    about what goes on."""

    tasks: Sequence[str] | None
    model: str
    model_args: str | None = None
    device: str | None = None
    dtype: str | None = None
    data: str | None = None
    limit: int | float | None = None
    max_new_tokens: int | None = None
    temperature: float = 0.0
    n: int = 1
    seed: tuple[int | None, int | None, int | None, int | None] = SEEDS
    refine: int = 0
    critique: Critique = "reference_free"
    rubric: str = ""
    sandbox: str = "default"
    integrity: str | None = None
    pass_at: Sequence[int] | None = None
    num_fewshot: int | None = None
    apply_chat_template: str | None = None
    fewshot_as_multiturn: bool | None = None
    system_instruction: str | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    think: Think | None = None
    gen_kwargs: Mapping[str, Any] | None = None
    samples: Mapping[str, Sequence[int]] | None = None
    use_cache: str | None = None
    include_path: Sequence[str] = ()
    batch_size: int | None = None
    write_out: bool = False
    output_path: str | None = None
    log_samples: bool = False
    trust_remote_code: bool = False
    progress: bool | None = None
    say: Callable[[str], None] = log.info

    @property
    def keeps_samples(self) -> bool:
        return self.log_samples or not self.output_path


def check_request(request: Request, own: Sequence[str], lm: Sequence[str]) -> None:
    """Raises `UsageError` for what does not go together. own, lm: names of our own tasks and of lm-eval's."""
    for conflict in _list_conflicts(request, own, lm):
        raise UsageError(conflict)


def _list_conflicts(request: Request, own: Sequence[str], lm: Sequence[str]) -> Iterator[str]:
    n, most = request.n, max(request.pass_at or (1,))
    if request.samples is not None and request.limit is not None:
        yield "--samples names the items: leave --limit out"
    if own and request.fewshot_as_multiturn:
        yield f"--fewshot_as_multiturn is for {PREFIX} tasks: the examples of {own[0]} stand in the user's turn"
    if request.use_cache and not lm:
        yield f"--use_cache is for {PREFIX} tasks: an evaluation of {own[0]} goes on by itself where it was stopped"
    if request.write_out and not own:
        where = f"what {PREFIX} tasks ask stands in their samples: --output_path DIR --log_samples"
        yield f"--write_out is for our own tasks: {where}"
    for name in () if lm else (request.samples or {}):
        if name not in own:
            yield f"--samples names {name!r}, which is none of the tasks {', '.join(own)}"
    if request.output_path and Path(request.output_path).is_file():
        yield f"--output_path {request.output_path} is a file: name a folder"
    if n > 1 and request.temperature == 0:
        yield f"--n {n} needs a --temperature above 0: at 0 all {n} responses to an item are the same"
    if most > n:
        yield f"--pass_at {most} needs --n {most} or more: so many responses to each item"
    if request.refine and lm:
        yield f"--refine needs a rubric, and {PREFIX}{lm[0]} has none: refine our own tasks only"
    if n > 1 and lm:
        yield f"--n is for our own tasks: how often {PREFIX}{lm[0]} asks stands in its own file (repeats)"


def read_sampling(request: Request) -> Sampling:
    """Of our own tasks; a longest answer of 0 is a task's own. Raises `UsageError` for what they do not have."""
    given, temperature, longest = dict(request.gen_kwargs or {}), request.temperature, request.max_new_tokens
    for name in given:
        if name not in GEN_KWARGS:
            raise UsageError(f"--gen_kwargs {name} is not supported: sampling is by {', '.join(GEN_KWARGS)}")
    try:
        temperature = float(given.get("temperature", temperature))
        longest = int(given["max_gen_toks"]) if "max_gen_toks" in given else longest
    except (TypeError, ValueError):
        raise UsageError(f"--gen_kwargs {given}: temperature and max_gen_toks are numbers") from None
    temperature = 0.0 if given.get("do_sample") is False else temperature
    if given.get("do_sample") and temperature == 0:
        raise UsageError("--gen_kwargs do_sample=true needs a temperature above 0")
    if temperature < 0 or (longest is not None and longest < 1):
        raise UsageError(f"--gen_kwargs {given}: temperature is at least 0 and max_gen_toks at least 1")
    until = given.get("until")
    return Sampling(
        longest or 0,
        temperature=temperature,
        n=request.n,
        seed=request.seed[0] or 0,
        stop=None if until is None else [until] if isinstance(until, str) else list(until),
        system_instruction=request.system_instruction,
    )


def build_lm_eval_options(request: Request, own: Sequence[str]) -> Options:
    """For lm-eval's tasks. `--temperature` and `--max_new_tokens` mean what they mean for our own tasks."""
    from herl_bench.evaluation.lm_eval_run import Options

    given: dict[str, Any] = {"do_sample": True, "temperature": request.temperature} if request.temperature else {}
    given |= {"max_gen_toks": request.max_new_tokens} if request.max_new_tokens else {}
    named = request.apply_chat_template
    same = {option.name: getattr(request, option.name) for option in fields(Options)}
    return replace(
        Options(**same),
        samples={name: ids for name, ids in (request.samples or {}).items() if name not in own} or None,
        gen_kwargs={**given, **(request.gen_kwargs or {})},
        apply_chat_template=True if named in ("true", "True") else named or False,
    )
