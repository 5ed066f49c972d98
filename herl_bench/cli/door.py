"""The terminal's door: every word of a command goes out through here, so that what a stranger's file says cannot move the cursor or pose as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from herl_bench.plain_text import neutral

if TYPE_CHECKING:
    from rich.console import Console


def say(text: Any, *, err: bool = False) -> None:
    """A line on stdout or stderr."""
    click.echo(neutral(str(text)), err=err)


def open_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """rich's console, for which words in cells, titles and lines are words: no control characters, no `[markup]`, no `:emoji:`."""
    from rich.console import Console

    class Door(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(neutral(text), **{**how, "markup": False, "emoji": False, "highlight": False})

    return Door(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)
