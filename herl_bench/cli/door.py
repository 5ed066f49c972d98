"""What a stranger's words pass on their way into a table or a line of ours: they can neither move the cursor nor pose as ours.

`out.py` guards the streams themselves, for everything that is printed without this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from herl_bench.plain_text import json_text, neutral

if TYPE_CHECKING:
    from rich.console import Console


def say_json(value: Any) -> None:
    """On stdout, indented."""
    click.echo(json_text(json.dumps(value, ensure_ascii=False, indent=2)))


def open_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """rich's console, for which words in cells, titles and lines are words: no control characters, no `[markup]`, no `:emoji:`."""
    from rich.console import Console

    class Door(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(neutral(text), **{**how, "markup": False, "emoji": False, "highlight": False})

    return Door(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)
