"""Options of several commands, and values of options that are read by a function of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from herl_bench.errors import UsageError
from herl_bench.reading import parse_yaml

device_option = click.option(
    "--device", help="auto (default: an accelerator where there is one), cpu, cuda, cuda:N, mps."
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision; auto (default): bfloat16 on a CUDA device that has it, else float32.",
)


def parse_variables(text: str) -> dict[str, Any]:
    """A YAML mapping, JSON among them, or `a=1,b=false`."""
    inside = text if text.lstrip().startswith("{") else "{" + text.replace("=", ": ") + "}"
    try:
        values = parse_yaml(inside, "it")
    except UsageError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{text!r} is no mapping: write '{{enable_thinking: false}}'")
    return values


class Parsed(click.ParamType):
    """A value that `parse` makes of the text. Its `ValueError` is what the user reads. name: of the kind of value."""

    def __init__(self, name: str, parse: Callable[[str], Any]):
        self.name, self.parse = name, parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


chat_template_kwargs_option = click.option(
    "--chat_template_kwargs",
    type=Parsed("mapping", parse_variables),
    metavar="MAPPING",
    help="Variables that the chat template reads, such as '{enable_thinking: false}' with Qwen3.",
)
