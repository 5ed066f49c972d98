"""What a run is asked to do: its settings and its method's, from a file, `--set` and flags, checked with named errors.
The settings that all methods share have their defaults here, those of the built-in methods in `training/config.py`.

A configuration file is flat for the run and nested for the method, exactly as a run writes it into `config.yaml`:

    task: gsm8k
    method: herl
    budget: 200k
    set: {learning_rate: 5.0e-5, hint_level: evidence}
"""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from herl_bench.budget import parse_tokens
from herl_bench.errors import UnknownName, UsageError
from herl_bench.reading import describe_invalid, parse_yaml, read_yaml_mapping

log = logging.getLogger("herl_bench")


def setting(default: Any, help: str, **limits: Any) -> Any:
    """A documented field; `limits` (ge, gt, le, lt) are checked when a configuration is built. A number with `auto=`
    may also be the word `auto`, until it is known what that comes to (`training/rates.py`)."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Settings:
    """What every method shares."""

    task: str = setting("", "name of the task")
    method: str = setting("herl", "name of the method")
    model: str = setting("tiny", "tiny (the task's embedded policy), a checkpoint folder, or a hub id")
    data: str = setting("auto", "auto, synthetic, hub, or a folder with the benchmark's files")
    budget: int = setting(100_000, "generated tokens to spend, revisions included", ge=1)
    seed: int = setting(0, "of everything random", ge=0)
    device: str = setting("auto", "auto (an accelerator where there is one), cpu, cuda, cuda:N or mps")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "what is computed in; weights that are trained stay float32; auto: bfloat16 where a CUDA device has it, else"
        " float32",
    )
    deterministic: bool = setting(
        False,
        "on an accelerator, too, the same seed gives the same bytes: only operations that have a form which does, and"
        " one line where there is none; slower; a CPU does so anyway",
    )
    rubric: str = setting("", "name of a rubric, or a YAML file; the task's own if left out")
    template: str = setting("", "name of a hindsight template; the task's own if left out")
    sandbox: str = setting("default", "which sandbox runs untrusted code")
    integrity: Literal["shared", "split"] = setting(
        "shared",
        "`shared` also takes verdicts that a program's own objects had a word in, and counts them; `split` refuses"
        " them",
    )
    eval_items: int = setting(200, "evaluation items, before and after", ge=1)
    difficulty: float | None = setting(None, "of the synthetic world, 0 to 1; its own if left out", ge=0, le=1)
    problems: Literal["plain", "planted", "single"] | None = setting(
        None,
        "of the synthetic world, only those without a planted misconception (`plain`), or only those with one"
        " (`planted`); all if left out; `single`: all, with planted misconceptions beside which there is but one other"
        " move, so that what guidance says hardly matters",
    )
    trust_remote_code: bool = setting(
        False, "run the Python code that the model brings along; counts only where the command line asks for it"
    )
    system_instruction: str | None = setting(
        None,
        "told instead of the task's own instruction, in training and evaluation; without a chat template it stands"
        " before each prompt",
    )
    chat_template_kwargs: Mapping[str, Any] | None = setting(
        None, "variables that the model's chat template reads, such as {enable_thinking: false} with Qwen3"
    )
    think: Literal["keep", "drop"] = setting(
        "drop",
        "a response is judged, and shown as a draft, without its thoughts (`<think>…</think>`); `keep`: with them, for"
        " rubrics that judge thoughts; rollouts hold them either way",
    )
    report_to: str = setting("", "a tracker of accelerate's, such as tensorboard")


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """A config.yaml of an older version lacks the settings that came later: they had what is now the default."""
    return {**{f.name: f.default for f in dataclasses.fields(Settings)}, **values}


RUN_SETTINGS = tuple(f.name for f in dataclasses.fields(Settings))


class Request(NamedTuple):
    """What a run is asked to do, not yet checked. run, method: of `Settings` and of the method's own configuration, by
    name. origin: where each was written, as a message about it begins: `FILE: `, `--set `; empty from Python."""

    run: dict[str, Any]
    method: dict[str, Any]
    origin: dict[str, str]

    def add(self, values: Mapping[str, Any], origin: str = "") -> Request:
        """These win over what was asked for before; each goes where its name belongs."""
        run = {name: value for name, value in values.items() if name in RUN_SETTINGS}
        method = {name: value for name, value in values.items() if name not in run}
        return Request({**self.run, **run}, {**self.method, **method}, {**self.origin, **dict.fromkeys(values, origin)})


def read_request(config_file: str) -> Request:
    """What a configuration file asks for. Raises `UsageError`."""
    return sort_request(read_yaml(config_file), config_file)


def sort_request(values: Mapping[str, Any], where: str) -> Request:
    """What a mapping, made like a configuration file, asks for. where: it stands, for messages. Raises `UsageError`."""
    run = {str(name): value for name, value in values.items()}
    method = run.pop("set", {})
    if not isinstance(method, dict):
        raise UsageError(f"{where}: set: write a mapping of the method's settings, such as {{learning_rate: 1.0e-4}}")
    origin = {**dict.fromkeys(method, f"{where}: set."), **dict.fromkeys(run, f"{where}: ")}
    return Request(run, method, origin)


def parse_settings(flags: Mapping[str, Any], assignments: Sequence[str], config_file: str | None) -> Request:
    """File first, then `--set`, then flags that were given. Raises `UsageError` for bad YAML or a malformed `--set`."""
    request = Request({}, {}, {}) if config_file is None else read_request(config_file)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"--set {assignment}: write --set KEY=VALUE")
        request = request.add({name: _parse_value(text)}, "--set ")
    given = {name: value for name, value in flags.items() if value is not None}
    return request._replace(run={**request.run, **given}, origin={**request.origin, **dict.fromkeys(given, "--")})


def read_yaml(path: str) -> dict[str, Any]:
    """A configuration file's mapping. Raises `UsageError`."""
    return read_yaml_mapping(path, "the configuration")


def _parse_value(text: str) -> Any:
    """A value of `--set` as in a file; the words as they stand where they are no YAML."""
    try:
        return parse_yaml(text, "--set")
    except UsageError:
        return text


def _drop_removed(values: Mapping[str, Any], removed: Mapping[str, str], origin: Mapping[str, str]) -> dict[str, Any]:
    """Without settings of older versions, which a run's file may still hold. removed: why there is none, by name.
    Raises `UsageError` where somebody asks for one today."""
    gone = [name for name in values if name in removed]
    for name in gone:
        if not (where := origin.get(name, "")).endswith(": set."):
            raise UsageError(f"{where}{name} is no longer a setting: {removed[name]}: leave it out")
    if gone:
        reasons = "; ".join(dict.fromkeys(removed[name] for name in gone))
        log.warning("warning: %s%s: passed over: %s", origin[gone[0]], ", ".join(gone), reasons)
    return {name: value for name, value in values.items() if name not in removed}


def build(kind: type, values: Mapping[str, Any], origin: Mapping[str, str], also: Sequence[str] = ()) -> Any:
    """An instance of the dataclass. Raises `UsageError` with key and choices. also: names to suggest for a misspelt."""
    from pydantic import ConfigDict, Field, ValidationError, create_model

    fields = {f.name: f for f in dataclasses.fields(kind)}
    values = _drop_removed(values, getattr(kind, "removed", {}), origin)
    for name in values:
        if name not in fields:
            raise UsageError(f"{origin.get(name, '')}{UnknownName('setting', name, [*fields, *also])}")
    hints = typing.get_type_hints(kind)
    limits = {"ge", "gt", "le", "lt"}
    spec: dict[str, Any] = {
        name: (hints[name], Field(default=f.default, **{k: v for k, v in f.metadata.items() if k in limits}))
        for name, f in fields.items()
    }
    model = create_model(kind.__name__, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **spec)
    given = {**getattr(kind, "presets", {}).get(str(values.get("preset")), {}), **values}
    automatic = {name for name, f in fields.items() if "auto" in f.metadata and given.get(name, f.default) == "auto"}
    if kind is Settings:
        words = {name for name in fields if hints[name] is str and given.get(name) is not None}
        given |= {name: str(given[name]) for name in words}
        if isinstance(given.get("budget"), str):
            given["budget"] = parse_tokens(given["budget"], "--budget" if origin.get("budget") else "budget")
    for name, value in given.items():
        if isinstance(value, bool) and hints[name] in (int, float):
            raise UsageError(f"{origin.get(name, '')}{name}={value}: write a number")
    try:
        checked = model.model_validate({name: value for name, value in given.items() if name not in automatic})
    except ValidationError as error:
        where, message = describe_invalid(error)
        name = where.partition(".")[0]
        message += ", or auto" if "auto" in fields[name].metadata else ""
        raise UsageError(f"{origin.get(name, '')}{name}={given.get(name)}: {message}") from None
    return kind(**{name: "auto" if name in automatic else getattr(checked, name) for name in fields})
