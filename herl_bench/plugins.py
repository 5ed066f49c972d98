"""The host: finds plugins by entry point, asks each for what it contributes, and names the one that is broken.

pluggy's own `load_setuptools_entrypoints` stops at the first plugin that cannot be imported. Here each entry point is
loaded in a `try` of its own and each hook is called plugin by plugin, so that a broken plugin costs only itself and is
reported with its distribution, its hook and the error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from herl_bench.errors import PluginError, UnknownName, UsageError, describe_error
from herl_bench.rubric import load_rubric
from herl_bench.types import Check, HindsightTemplate, Method, Metric, Rubric, SandboxProvider, Task

hookspecs = importlib.import_module("herl_bench.hookspecs")  # the module itself, not the names in it
_FAILURES = (Exception, SystemExit)  # a module that calls exit() would otherwise end the host

KINDS: Mapping[str, tuple[str, type]] = {
    "task": ("herl_tasks", Task),
    "rubric": ("herl_rubrics", Rubric),
    "check": ("herl_checks", Check),
    "template": ("herl_hindsight_templates", HindsightTemplate),
    "metric": ("herl_metrics", Metric),
    "method": ("herl_methods", Method),
    "sandbox": ("herl_sandboxes", SandboxProvider),
}


@dataclass(frozen=True)
class Plugin:
    """A plugin as found: `error` is set where it could not be imported or registered."""

    name: str
    distribution: str
    version: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Entry:
    """A contributed object and the plugin that it came from."""

    item: Any
    plugin: Plugin


@dataclass
class Host:
    """All that is installed. Build one with `load_host()`; it never raises because of a plugin."""

    manager: pluggy.PluginManager
    plugins: list[Plugin] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _claims: dict[str, dict[str, list[Entry]]] = field(default_factory=dict)

    def entries(self, kind: str) -> dict[str, Entry]:
        """All of a kind (`task`, …) by name; not what a broken plugin gives, or two claim: see `problems`."""
        if kind not in self._claims:
            self._collect(kind)
        return {name: claims[0] for name, claims in self._claims[kind].items() if len(claims) == 1}

    def get(self, kind: str, name: str) -> Any:
        """Raises `UnknownName` with the nearest names, `PluginError` where two plugins claim it."""
        entries = self.entries(kind)
        if problem := self._find_quarrel(kind, name):
            raise PluginError(problem)
        if name not in entries:
            raise UnknownName(kind, name, entries)
        return entries[name].item

    def items(self, kind: str) -> dict[str, Any]:
        return {name: entry.item for name, entry in self.entries(kind).items()}

    def collect_all(self) -> None:
        for kind in KINDS:
            self.entries(kind)
        self._check_references()

    def call(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook on every plugin; one that raises is reported and the others still run."""
        for name, implementation in self._list_implementations(hook):
            try:
                implementation(**arguments)
            except _FAILURES as error:
                self._report(f"plugin {self._find_plugin(name)}: hook {hook} raised {describe_error(error)}")

    def _collect(self, kind: str) -> None:
        hook, wanted = KINDS[kind]
        claims: dict[str, list[Entry]] = {}
        for name, implementation in self._list_implementations(hook):
            plugin = self._find_plugin(name)
            where, what = f"plugin {plugin}: hook {hook}", wanted.__name__
            try:
                given = implementation()
                items = list(given) if isinstance(given, Iterable) else None
            except _FAILURES as error:
                self._report(f"{where} raised {describe_error(error)}")
                continue
            if items is None:
                self._report(f"{where} must return a list of {what}, not {type(given).__name__}")
            for item in items or ():
                if kind == "rubric" and isinstance(item, Path):
                    try:
                        item = load_rubric(item, self.items("check"))
                    except UsageError as error:
                        self._report(f"plugin {plugin}: {error}")
                        continue
                if not isinstance(item, wanted):
                    self._report(f"{where} gave a {type(item).__name__} where a {what} belongs")
                    continue
                key = str(getattr(item, "id", "") or item.name)  # type: ignore[attr-defined]
                claims.setdefault(key, []).append(Entry(item, plugin))
        self._claims[kind] = claims
        for problem in filter(None, (self._find_quarrel(kind, key) for key in claims)):
            self._report(problem)

    def _find_quarrel(self, kind: str, name: str) -> str:
        """Empty where at most one plugin claims the name."""
        owners = self._claims[kind].get(name, [])
        named = " and by ".join(str(entry.plugin) for entry in owners)
        return f"the {kind} {name!r} is claimed by {named}: uninstall one of them" if len(owners) > 1 else ""

    def _check_references(self) -> None:
        """A task that names a rubric, template or metric that nobody has is its plugin's fault, and is not usable."""
        for name, entry in self.entries("task").items():
            task: Task = entry.item
            wanted = [("rubric", task.rubric), ("template", task.template), *(("metric", m) for m in task.metrics)]
            for kind, reference in wanted:
                # A name that two plugins claim was reported as that already.
                if reference not in self.entries(kind) and reference not in self._claims[kind]:
                    named = f"task {name!r} names the {kind} {reference!r}"
                    self._report(f"plugin {entry.plugin}: {named}, which no plugin provides")

    def _list_implementations(self, hook: str) -> list[tuple[str, Any]]:
        found = [(impl.plugin_name, impl.function) for impl in getattr(self.manager.hook, hook).get_hookimpls()]
        order = {plugin.name: i for i, plugin in enumerate(self.plugins)}
        return sorted(found, key=lambda pair: order.get(pair[0], len(order)))

    def _find_plugin(self, name: str) -> Plugin:
        return next((p for p in self.plugins if p.name == name), Plugin(name, "?", "?"))

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def load_host(entry_points: Sequence[importlib.metadata.EntryPoint] | None = None) -> Host:
    """Load every plugin of the entry-point group `herl_bench`, built-ins included (they come in by the same door)."""
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    host = Host(manager)
    found = importlib.metadata.entry_points(group=hookspecs.GROUP) if entry_points is None else entry_points
    seen: set[tuple[str, str]] = set()
    for point in sorted(found, key=lambda p: ((p.dist.name if p.dist else "") != "herl-bench", p.name)):
        if (point.name, point.value) in seen:  # an editable install can list its metadata twice
            continue
        seen.add((point.name, point.value))
        name, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
        error = ""
        try:
            module = point.load()
            _check_hook_names(module)
            manager.register(module, name=point.name)
        except _FAILURES as problem:
            error = describe_error(problem)
            host._report(f"plugin {point.name} ({name} {version}) cannot be loaded: {error}")
        host.plugins.append(Plugin(point.name, name, version, error))
    return host


def _check_hook_names(module: Any) -> None:
    """A misspelt hook would silently never be called; say so."""
    known = {name for name in dir(hookspecs) if name.startswith("herl_")}
    for name, value in vars(module).items():
        is_hook = name.startswith("herl_") and getattr(value, f"{hookspecs.GROUP}_impl", None) is not None
        if is_hook and name not in known:
            raise PluginError(str(UnknownName("hook", name, known)))
