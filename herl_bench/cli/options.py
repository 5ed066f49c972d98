"""Options of several commands, and values of options that are read by a function of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

device_option = click.option(
    "--device", help="auto (default: an accelerator where there is one), cpu, cuda, cuda:N, mps."
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision; auto (default): bfloat16 on a CUDA device that has it, else float32.",
)


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
