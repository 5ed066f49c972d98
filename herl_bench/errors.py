"""Everything that herl-bench raises on purpose.

    HerlBenchError                 exit code 1
    ├── UsageError                 2   wrong words on the command line, in a config file or in a rubric file
    │   ├── UnknownName            2   a name that nobody registered; says the nearest ones
    │   └── DataError              2   a data folder, file or row that cannot be used; names file and line
    ├── PluginError                1   a plugin or hook that failed; names distribution and hook
    ├── LeakageError               1   training and evaluation items overlap
    ├── DivergedError              1   NaN or exploding KL; a checkpoint was saved
    ├── ServerError                1   a model's server that is gone or refuses; what it answered so far is kept
    ├── SaveError                  1   a result could not be written (disk full, …)
    └── NoSandbox                  3   nothing here can run untrusted code safely; says what to install

The message is the one line that the user sees: what is wrong, where, what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def describe_error(error: BaseException) -> str:
    """Type and first line of an exception, at most 300 characters."""
    first = (str(error).strip().splitlines() or [""])[0]
    return (f"{type(error).__name__}: {first}" if first else type(error).__name__)[:300]


class HerlBenchError(Exception):
    exit_code = 1


class UsageError(HerlBenchError):
    exit_code = 2


class UnknownName(UsageError):
    def __init__(self, kind: str, name: str, known: Iterable[str]):
        choices = sorted(known)
        spelt = {choice.lower(): choice for choice in reversed(choices)}
        near = " or ".join(spelt[word] for word in get_close_matches(name.lower(), spelt, n=3, cutoff=0.5))
        hint = f"did you mean {near}?" if near else f"choose from {', '.join(choices) or '(none installed)'}"
        super().__init__(f"no {kind} named {name!r}: {hint}")


class DataError(UsageError): ...


class PluginError(HerlBenchError): ...


class LeakageError(HerlBenchError): ...


class DivergedError(HerlBenchError): ...


class ServerError(HerlBenchError): ...


class SaveError(HerlBenchError): ...


class NoSandbox(HerlBenchError):
    exit_code = 3
