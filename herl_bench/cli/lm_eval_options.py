"""What `herl-bench eval` takes from lm-eval: tasks named `lm_eval:NAME`, and options that are spelt and behave as
lm-eval's.

Left out: lm-eval's options for hardware, trackers and the hub. Those and its `--model` types are answered in
`cli/elsewhere.py`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.errors import UsageError
from herl_bench.reading import parse_json, read_text
from herl_bench.saving import write_whole

if TYPE_CHECKING:
    from herl_bench.evaluate.lm_eval_model import Loaded, Options
    from herl_bench.policy.answerer import Answerer
    from herl_bench.policy.load import Policy

PREFIX = "lm_eval:"
GEN_KWARGS = ("temperature", "do_sample", "max_gen_toks", "until")
SEEDS = "0,1234,1234,1234"


# --------------------------------------------------------------------------------------------------------- option types
class Limit(click.ParamType):
    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | float:
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if number <= 0 or (number >= 1 and not number.is_integer()):
            self.fail(f"{value!r} is neither a whole number of items nor a share of them below 1", param, ctx)
        return number if number < 1 else int(number)


class Seeds(click.ParamType):
    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int | None, ...]:
        if isinstance(value, tuple):
            return value
        try:
            given = [None if part.strip().lower() == "none" else int(part) for part in str(value).split(",")]
        except ValueError:
            given = []
        if len(given) not in (1, 4):
            self.fail(
                f"{value!r} is neither one whole number nor four (Python, numpy, torch, few-shot; None leaves one"
                " unset)",
                param,
                ctx,
            )
        return tuple(given * 4 if len(given) == 1 else given)


class BatchSize(click.ParamType):
    """lm-eval's `auto` and `auto:N` are the model's own number: it is chosen once, and memory is bounded by tokens
    anyway."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        text = str(value).strip()
        if re.fullmatch(r"auto(:\d+)?", text):
            return 0
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{value!r} is neither a whole number of responses above 0 nor auto", param, ctx)
        return int(text)


class KeyValues(click.ParamType):
    """`a=1,b=["x"]` or a JSON object."""

    name = "settings"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            if value.lstrip().startswith("{"):
                return dict(parse_json(value, "it"))
            pairs = [part.partition("=") for part in _top_level(value)]
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not all(equals for _, equals, _ in pairs):
            self.fail(f"{value!r} is not KEY=VALUE,… or a JSON object", param, ctx)
        return {key.strip(): _literal(text) for key, _, text in pairs}


class Samples(click.ParamType):
    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, list[int]]:
        if isinstance(value, dict):
            return value
        try:
            text = value if value.lstrip().startswith("{") else read_text(value)
            chosen = parse_json(text, "it")
        except UsageError as error:
            self.fail(f"{value!r} is neither JSON nor a file of it: {error}", param, ctx)
        well = isinstance(chosen, dict) and all(
            isinstance(ids, list) and ids and all(isinstance(i, int) and i >= 0 for i in ids) for ids in chosen.values()
        )
        if not well:
            self.fail('not of the form {"TASK": [0, 5, 7]}', param, ctx)
        return {name.removeprefix(PREFIX): sorted(set(ids)) for name, ids in chosen.items()}


def _top_level(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[({":
            depth += 1
        elif sign in "])}":
            depth -= 1
        elif sign == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += sign
    return [part for part in parts if part.strip()]


def _literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def lm_eval_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `Asked`."""
    options = (
        click.option(
            "--num_fewshot",
            "-f",
            type=click.IntRange(0, 1000),
            help="Worked examples before each question. Default: the task's.",
        ),
        click.option(
            "--apply_chat_template",
            is_flag=False,
            flag_value="true",
            metavar="[NAME]",
            help="lm_eval: tasks as a chat; our own tasks are one wherever the model has a template.",
        ),
        click.option(
            "--fewshot_as_multiturn",
            is_flag=False,
            flag_value="true",
            type=click.BOOL,
            help="Few-shot examples as turns; on with --apply_chat_template.",
        ),
        click.option(
            "--system_instruction", metavar="TEXT", help="The system turn; without a chat template, what stands first."
        ),
        click.option(
            "--gen_kwargs", type=KeyValues(), metavar="KEY=VALUE,…", help="temperature, do_sample, max_gen_toks, until."
        ),
        click.option(
            "--samples",
            "-E",
            type=Samples(),
            metavar="JSON",
            help='Which items: {"TASK": [0, 5, 7]}, or a file of that.',
        ),
        click.option(
            "--use_cache",
            "-c",
            metavar="PATH",
            help="Keep lm_eval: tasks' responses in PATH_rank0.db, and take them from there.",
        ),
        click.option(
            "--batch_size",
            "-b",
            type=BatchSize(),
            metavar="N",
            help="Responses at once, of our own tasks; auto: the model's own number.",
        ),
        click.option(
            "--write_out",
            "-w",
            is_flag=True,
            help="Show, on stderr, what the model is given of each task's first item.",
        ),
        click.option("--include_path", multiple=True, metavar="DIR", help="More lm-eval task files. May be repeated."),
    )
    for option in reversed(options):
        command = option(command)
    return command


# ------------------------------------------------------------------------------------------------------- what was asked
@dataclass(frozen=True)
class Asked:
    """lm-eval's options as given on the command line."""

    limit: int | float | None
    seeds: tuple[int | None, int | None, int | None, int | None]
    num_fewshot: int | None
    apply_chat_template: str | None
    fewshot_as_multiturn: bool | None
    system_instruction: str | None
    gen_kwargs: Mapping[str, Any] | None
    samples: Mapping[str, Sequence[int]] | None
    use_cache: str | None
    include_path: Sequence[str]
    batch_size: int | None
    write_out: bool

    def check(self, own: Sequence[str], lm: Sequence[str]) -> None:
        """Raises `UsageError` for what does not go together. own, lm: names of our own tasks and of lm-eval's."""
        if self.samples is not None and self.limit is not None:
            raise UsageError("--samples names the items: leave --limit out")
        if own and self.fewshot_as_multiturn:
            raise UsageError(
                f"--fewshot_as_multiturn is for {PREFIX} tasks: the examples of {own[0]} stand in the user's turn"
            )
        if self.use_cache and not lm:
            raise UsageError(
                f"--use_cache is for {PREFIX} tasks: an evaluation of {own[0]} goes on by itself where it was stopped"
            )
        if self.write_out and not own:
            raise UsageError(
                f"--write_out is for our own tasks: what {PREFIX} tasks ask stands in their samples: --output_path DIR"
                " --log_samples"
            )
        for name in () if lm else (self.samples or {}):
            if name not in own:
                raise UsageError(f"--samples names {name!r}, which is none of the tasks {', '.join(own)}")

    def own_sampling(self, temperature: float, max_new_tokens: int | None) -> dict[str, Any]:
        """temperature, max_new_tokens and stop strings of our own tasks. Raises `UsageError` for settings that they do
        not have."""
        given = dict(self.gen_kwargs or {})
        for name in given:
            if name not in GEN_KWARGS:
                raise UsageError(f"--gen_kwargs {name} is not supported: sampling is by {', '.join(GEN_KWARGS)}")
        until = given.get("until")
        try:
            temperature = float(given.get("temperature", temperature))
            longest = int(given["max_gen_toks"]) if "max_gen_toks" in given else max_new_tokens
        except (TypeError, ValueError):
            raise UsageError(f"--gen_kwargs {given}: temperature and max_gen_toks are numbers") from None
        temperature = 0.0 if given.get("do_sample") is False else temperature
        if given.get("do_sample") and temperature == 0:
            raise UsageError("--gen_kwargs do_sample=true needs a temperature above 0")
        if temperature < 0 or (longest is not None and longest < 1):
            raise UsageError(f"--gen_kwargs {given}: temperature is at least 0 and max_gen_toks at least 1")
        stop = None if until is None else [until] if isinstance(until, str) else list(until)
        return {"temperature": temperature, "max_new_tokens": longest, "stop": stop}

    def options(self, temperature: float, max_new_tokens: int | None, own: Sequence[str]) -> Options:
        """For lm-eval's tasks. `--temperature` and `--max_new_tokens` mean what they mean for our own tasks."""
        from herl_bench.evaluate.lm_eval_model import Options

        given: dict[str, Any] = {"do_sample": True, "temperature": temperature} if temperature else {}
        given |= {"max_gen_toks": max_new_tokens} if max_new_tokens else {}
        named = self.apply_chat_template
        return Options(
            num_fewshot=self.num_fewshot,
            limit=self.limit,
            samples={name: ids for name, ids in (self.samples or {}).items() if name not in own} or None,
            gen_kwargs={**given, **(self.gen_kwargs or {})},
            system_instruction=self.system_instruction,
            apply_chat_template=True if named in ("true", "True") else named or False,
            fewshot_as_multiturn=self.fewshot_as_multiturn,
            use_cache=self.use_cache,
            seeds=self.seeds,
        )


def split_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own tasks, and lm-eval's without their prefix."""
    own = [name for name in names if not name.startswith(PREFIX)]
    lm = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    if not all(lm):
        raise UsageError(f"--tasks {PREFIX} lacks the name of an lm-eval task, such as {PREFIX}arc_easy")
    return own, lm


# ------------------------------------------------------------------------------------------------------ lm-eval's tasks
@dataclass
class Theirs:
    """lm-eval's tasks, loaded; once run, with their part of the results file and their samples."""

    policy: Policy
    loaded: Loaded
    options: Options
    section: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cache: Path | None = None

    def run(self, folder: Path | None) -> None:
        """Evaluate. Where results are written, responses are kept until they stand, so that a killed evaluation goes
        on."""
        from herl_bench.evaluate.lm_eval_model import run_tasks

        options = self.options
        if folder is not None and options.use_cache is None:
            identity = json.dumps(self.policy.identity, sort_keys=True, default=str)
            name = f"responses_lm_eval_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
            self.cache, options = folder / f"{name}_rank0.db", replace(options, use_cache=str(folder / name))
        self.section, self.samples = run_tasks(self.policy, self.loaded, options)

    def keep(self, folder: Path, stamp: str, samples: bool) -> None:
        """Write the samples, now that the results stand, and drop what was kept for a second attempt."""
        for name, rows in self.samples.items() if samples else ():
            write_whole(
                folder / f"samples_{name}_{stamp}.jsonl",
                "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
            )
        if self.cache is not None:
            self.cache.unlink(missing_ok=True)

    @property
    def scores(self) -> dict[str, Any]:
        return {key: self.section[key] for key in ("results", "groups") if key in self.section}

    def table(self) -> str:
        from lm_eval.utils import make_table

        tables: list[str] = [make_table(self.section)]
        tables += [make_table(self.section, "groups")] if self.section.get("groups") else []
        return "\n".join([*tables, *(_rates_line(name, found) for name, found in self.rates.items())])

    @property
    def rates(self) -> Mapping[str, Mapping[str, Any]]:
        """Per task of generated answers, what may be wrong with them; see `herl_bench.evaluate.lm_eval_model.rates`."""
        from herl_bench.evaluate.result_files import NAMESPACE

        found: Mapping[str, Mapping[str, Any]] = self.section.get(NAMESPACE, {}).get("rates", {})
        return found

    def config(self, *, alone: bool) -> dict[str, Any]:
        """For lm-eval's `config`. alone: no task of our own is in the results, whose settings would stand there."""
        names = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
        given = {
            "use_cache": self.options.use_cache,
            "bootstrap_iters": 100_000,
            **dict(zip(names, self.options.seeds, strict=True)),
        }
        return given | ({"gen_kwargs": dict(self.options.gen_kwargs) or None} if alone else {})

    def facts(self) -> dict[str, Any]:
        """What stands at the top of lm-eval's results about the prompts."""
        text = self.options.system_instruction
        template = self.policy.tokenizer.chat_template if self.options.apply_chat_template else None
        multiturn = self.options.fewshot_as_multiturn
        return {
            "system_instruction": text,
            "system_instruction_sha": hashlib.sha256(text.encode()).hexdigest() if text else None,
            "chat_template": template,
            "chat_template_sha": hashlib.sha256(str(template).encode()).hexdigest() if template else None,
            "fewshot_as_multiturn": bool(self.options.apply_chat_template) if multiturn is None else multiturn,
        }


def _rates_line(name: str, found: Mapping[str, Any]) -> str:
    shares = (
        f"{rate} {'unknown' if found[rate] is None else format(found[rate], '.1%')}"
        for rate in ("truncated", "empty", "unparsed")
    )
    return f"{name}: {found['responses']} responses: {', '.join(shares)}"


def prepare(
    names: Sequence[str],
    asked: Asked,
    models: Callable[[Any], Answerer],
    data: str | None,
    temperature: float,
    max_new_tokens: int | None,
    n: int,
    own: Sequence[str],
) -> Theirs:
    """Load lm-eval's tasks, ours in lm-eval's form among them: before anything is generated, so that a wrong name costs
    nothing."""
    from herl_bench.policy.load import Policy

    policy = models(None)
    if not isinstance(policy, Policy):
        raise UsageError(
            f"{PREFIX} tasks need a local model: for a server, lm-eval has its own --model local-completions"
        )
    if n > 1:
        raise UsageError(
            f"--n is for our own tasks: how often {PREFIX}{names[0]} asks stands in its own file (repeats)"
        )
    from herl_bench.evaluate.lm_eval_model import check, load_tasks
    from herl_bench.locate import tasks_path

    metadata = {"pretrained": policy.path, **({"data_dir": data} if data else {})}
    loaded = load_tasks(names, [*asked.include_path, tasks_path()], metadata)
    options = asked.options(temperature, max_new_tokens, own)
    check(policy, loaded, options)
    return Theirs(policy, loaded, options)
