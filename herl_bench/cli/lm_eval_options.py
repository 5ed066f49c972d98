"""Options of `herl-bench eval` that are spelt and behave as lm-eval's.

Left out: those for hardware, trackers and the hub. These and lm-eval's `--model` types: see `suggestions.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import click

from herl_bench.cli.options import Parsed
from herl_bench.errors import UsageError
from herl_bench.experiment.lm_eval import PREFIX
from herl_bench.reading import parse_json, read_text

SEEDS = "0,1234,1234,1234"


# --------------------------------------------------------------------------------------------------------- option types
def parse_limit(text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0 or (number >= 1 and not number.is_integer()):
        raise ValueError(f"{text!r} is neither a whole number of items nor a share of them below 1")
    return number if number < 1 else int(number)


def parse_seeds(text: str) -> tuple[int | None, ...]:
    try:
        given = [None if part.strip().lower() == "none" else int(part) for part in text.split(",")]
    except ValueError:
        given = []
    if len(given) not in (1, 4):
        choices = "neither one whole number nor four (Python, numpy, torch, few-shot; None leaves one unset)"
        raise ValueError(f"{text!r} is {choices}")
    return tuple(given * 4 if len(given) == 1 else given)


def parse_batch_size(text: str) -> int:
    """lm-eval's `auto` and `auto:N` are the model's own number: it is chosen once, and memory is bounded by tokens."""
    if re.fullmatch(r"auto(:\d+)?", text.strip()):
        return 0
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is neither a whole number of responses above 0 nor auto")
    return int(text)


def parse_key_values(text: str) -> dict[str, Any]:
    """`a=1,b=["x"]` or a JSON object."""
    if text.lstrip().startswith("{"):
        return dict(parse_json(text, "it"))
    pairs = [part.partition("=") for part in _split_outside_brackets(text)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"{text!r} is not KEY=VALUE,… or a JSON object")
    return {key.strip(): _read_literal(value) for key, _, value in pairs}


def parse_samples(text: str) -> dict[str, list[int]]:
    try:
        chosen = parse_json(text if text.lstrip().startswith("{") else read_text(text), "it")
    except UsageError as error:
        raise ValueError(f"{text!r} is neither JSON nor a file of it: {error}") from None
    well = isinstance(chosen, dict) and all(
        isinstance(ids, list) and ids and all(isinstance(i, int) and i >= 0 for i in ids) for ids in chosen.values()
    )
    if not well:
        raise ValueError('not of the form {"TASK": [0, 5, 7]}')
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
        "--gen_kwargs",
        type=Parsed("settings", parse_key_values),
        metavar="KEY=VALUE,…",
        help="temperature, do_sample, max_gen_toks, until.",
    ),
    click.option(
        "--samples",
        "-E",
        type=Parsed("json", parse_samples),
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
        type=Parsed("number", parse_batch_size),
        metavar="N",
        help="Responses at once, of our own tasks; auto: the model's own number.",
    ),
    click.option(
        "--write_out", "-w", is_flag=True, help="Show, on stderr, what the model is given of each task's first item."
    ),
    click.option("--include_path", multiple=True, metavar="DIR", help="More lm-eval task files. May be repeated."),
)


def lm_eval_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of `experiment.evaluation_request.Request` that lm-eval has too."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
