"""Options of `herl-bench eval` that are spelt and behave as lm-eval's.

Left out: lm-eval's options for hardware, trackers and the hub. Those and its `--model` types are answered in
`suggestions.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import click

from herl_bench.errors import UsageError
from herl_bench.experiment.lm_eval import PREFIX
from herl_bench.reading import parse_json, read_text

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
            pairs = [part.partition("=") for part in _split_outside_brackets(value)]
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not all(equals for _, equals, _ in pairs):
            self.fail(f"{value!r} is not KEY=VALUE,… or a JSON object", param, ctx)
        return {key.strip(): _read_literal(text) for key, _, text in pairs}


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


def _split_outside_brackets(text: str) -> list[str]:
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


def _read_literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


OPTIONS = (
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
        "--samples", "-E", type=Samples(), metavar="JSON", help='Which items: {"TASK": [0, 5, 7]}, or a file of that.'
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
        "--write_out", "-w", is_flag=True, help="Show, on stderr, what the model is given of each task's first item."
    ),
    click.option("--include_path", multiple=True, metavar="DIR", help="More lm-eval task files. May be repeated."),
)


def lm_eval_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of `experiment.evaluation.Request` that lm-eval has too."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
