"""The command line: thin. It resolves names through the plugin host and passes objects down.

Each command's module is imported only when it is called or asked for help: `herl-bench ls` stays fast. Every error that
herl-bench raises on purpose becomes one line on stderr and the exit code of `errors.py`; nothing else is caught.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from herl_bench.cli.output import open_display
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.plain_text import flatten
from herl_bench.plugins import Host, load_host

INTERRUPTED = 130

COMMANDS = {
    "run": "Train a policy on a task, and evaluate it before and after.",
    "probe": "What would hindsight bring here? Measured without training.",
    "compare": "Run methods over tasks and seeds, and say what can be concluded.",
    "leaderboard": "Rank runs; bundle, verify and publish them.",
    "report": "Write the page of a run or a comparison, or its plots.",
    "eval": "Evaluate a run or a model.",
    "score": "Re-score stored responses; no model needed.",
    "validate": "Check that every gold answer meets its own rubric.",
    "warmstart": "Train a tiny policy from scratch on a task's demonstrations.",
    "ls": "List tasks, rubrics, methods and everything else installed.",
    "plugins": "List the installed plugins and what is wrong with them.",
    "sandbox": "Inspect the sandbox that runs untrusted code.",
    "schema": "Print the JSON Schema of rubric files.",
    "tasks": "Where the lm-eval task files lie.",
}

TYPED = "herl_bench.typed"  # where a context keeps a command's own words, for `suggestions.answer`


class Commands(click.Group):
    """Built-in commands are imported late; plugins add theirs through `herl_commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(super().list_commands(ctx))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = importlib.import_module(f"herl_bench.cli.{name}").command
            return command
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            from herl_bench.cli import suggestions

            if ours := suggestions.find_ours(suggestions.COMMANDS, args[0]):
                raise UsageError(f"no command {args[0]!r}: it is herl-bench {ours} here")
            raise UnknownName("command", args[0], self.list_commands(ctx))
        ctx.meta[TYPED] = args[1:]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *rows])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="herl-bench")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Does hindsight-guided RL (HeRL) beat PPO on your task, at equal budget, and why?"""


def use_underscores(args: Sequence[str]) -> list[str]:
    """`--num-fewshot` and `--num_fewshot` are the same option."""
    flat = []
    for arg in args:
        flag, equals, value = arg.partition("=")
        flat.append((flag.replace("-", "_").replace("__", "--", 1) if flag.startswith("--") else flag) + equals + value)
    return flat


def main(args: Sequence[str] | None = None) -> None:
    display = open_display()
    log = logging.getLogger("herl_bench")
    log.handlers, log.propagate = [_OnStderr()], False

    def work() -> Any:
        host, words = load_host(), use_underscores(sys.argv[1:] if args is None else args)
        host.call("herl_commands", cli=cli)
        return cli.main(words, "herl-bench", standalone_mode=False, obj=host)

    with _end_in_order():
        code = run_command(work)
    sys.exit(display.settle(code))


def run_command(call: Callable[[], Any]) -> int:
    """Run a command and give its exit code; what went wrong is one line on stderr."""
    try:
        result = call()
        return result if isinstance(result, int) else 0
    except HerlBenchError as error:
        return _fail(str(error), error.exit_code)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return error.exit_code
    except click.UsageError as error:
        if suggestion := _suggest(error):
            return _fail(suggestion, 2)
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(_format_sentence(error.format_message()) + where, 2)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        stop = error if isinstance(error, Stopped) else error.__cause__  # click's Abort stands for any of them
        if isinstance(stop, Stopped):
            return _fail(f"stopped by {stop.signal.name}", stop.exit_code)
        return _fail("interrupted", INTERRUPTED)


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a command as Ctrl-C does: with what it holds given back."""

    def __init__(self, number: int):
        super().__init__()
        self.signal = signal.Signals(number)
        self.exit_code = 128 + number


@contextmanager
def _end_in_order() -> Iterator[None]:
    """A signal that is ignored from outside, as `nohup` does, stays ignored."""

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _suggest(error: click.UsageError) -> str:
    from herl_bench.cli.suggestions import answer

    ctx = error.ctx
    return answer(error, ctx.obj, ctx.meta.get(TYPED, [])) if ctx is not None and isinstance(ctx.obj, Host) else ""


def _format_sentence(message: str) -> str:
    text = " ".join(message.split())
    return text[:1].lower() + text[1:].rstrip(".")


def _fail(message: str, code: int) -> int:
    print(f"herl-bench: {flatten(message)}", file=sys.stderr)
    return code


class _OnStderr(logging.Handler):
    """What a call notes on the way is one line."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"herl-bench: {flatten(record.getMessage())}", file=sys.stderr)


def report_problems(host: Host) -> None:
    """Broken plugins are named on stderr; the rest works."""
    for problem in host.problems:
        print(f"herl-bench: warning: {flatten(problem)}", file=sys.stderr)
