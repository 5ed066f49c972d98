"""Where we call lm-eval: run its tasks, named as there, on one of our policies, for the same results file as ours.

Left out: tasks that run the model's programs outside a sandbox.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.errors import DataError, PluginError, UnknownName, UsageError
from herl_bench.evaluation.result_files import NAMESPACE
from herl_bench.evaluation.sampling import SEEDS

if TYPE_CHECKING:
    from herl_bench.policy.load import Policy

SEED_OPTIONS = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")
INVALID = "[invalid]"  # what lm-eval's filters give where they find no answer


@dataclass(frozen=True)
class Loaded:
    """Tasks and groups as lm-eval loads them, with their data. tasks: the single tasks inside, by name."""

    objects: tuple[Any, ...]
    tasks: Mapping[str, Any]
    manager: Any


@dataclass(frozen=True)
class Options:
    """As lm-eval's options of the same names. seed: Python, numpy, torch, few-shot; None leaves one unset."""

    num_fewshot: int | None = None
    limit: int | float | None = None
    samples: Mapping[str, Sequence[int]] | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_instruction: str | None = None
    apply_chat_template: bool | str = False
    fewshot_as_multiturn: bool | None = None
    use_cache: str | None = None
    seed: tuple[int | None, int | None, int | None, int | None] = SEEDS


def load_tasks(
    names: Sequence[str], include_path: Sequence[str | Path] = (), metadata: Mapping[str, Any] | None = None
) -> Loaded:
    """Find lm-eval tasks, groups, tags, patterns or YAML files by name, and read their data.

    Raises `UnknownName` with the nearest names, and `DataError` where a task's data cannot be had.
    """
    for path in include_path:
        if not Path(path).is_dir():
            raise UsageError(f"--include_path {path}: no such folder")
    manager = _open_manager(names, [Path(p) for p in include_path], dict(metadata or {}))
    objects: list[Any] = []
    tasks: dict[str, Any] = {}
    for name in names:
        matching = manager.match_tasks([name]) if "*" in name or "?" in name else [name]
        if not matching or not (matching[0] in manager.all_tasks or Path(matching[0]).is_file()):
            raise UnknownName("lm_eval task", name, manager.all_tasks)
        for spec in matching:
            found = _load(manager, spec)
            group = found.get("groups", {}).get(spec)
            for task_name in found["tasks"]:
                if task_name in tasks:
                    raise UsageError(f"lm_eval:{task_name} is named twice, or is part of two of the names in --tasks")
            tasks |= found["tasks"]
            objects += [group] if group is not None else list(found["tasks"].values())
    return Loaded(tuple(objects), tasks, manager)


def _open_manager(names: Sequence[str], include_path: Sequence[Path], metadata: dict[str, Any]) -> Any:
    """lm-eval's index of task files. It takes half a minute to parse all of its own, so only the folders of the named
    tasks are read where these are single ones; groups, tags and patterns need all. Raises `UnknownName`."""
    from lm_eval.tasks import TaskManager

    plain = [name for name in names if re.fullmatch(r"[\w.-]+", name)]
    home = Path(str(sys.modules["lm_eval"].__file__)).parent / "tasks"
    found: set[str] = set()
    declared: dict[str, Path] = {}
    for path in home.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8", errors="replace")
        declared |= dict.fromkeys(_DECLARED.findall(text), path.parent)
        found |= {name for name in plain if name in text}  # also as one of several tags, or a member of a group
    folders = {declared[name] for name in plain if name in declared}
    manager = TaskManager(include_defaults=False, include_path=[*sorted(folders), *include_path], metadata=metadata)
    for name in plain:
        if name not in found and name not in manager.task_index and not Path(name).is_file():
            raise UnknownName("lm_eval task", name, {*declared, *manager.all_tasks})
    if all(name in manager.task_index and manager.task_index[name].kind.name in ("TASK", "PY_TASK") for name in names):
        return manager
    return TaskManager(include_path=list(include_path) or None, metadata=metadata)


_DECLARED = re.compile(r"^[\"']?(?:task|group)[\"']?\s*:\s*[\"']?([\w.-]+)[\"']?\s*$", re.MULTILINE)


def _load(manager: Any, name: str) -> Any:
    try:
        return manager.load([name])
    except ImportError as error:
        lacks = f"needs a package that is not installed ({_shorten(error)})"
        raise UsageError(f"lm_eval:{name} {lacks}: see lm-eval's extras") from None
    except Exception as error:  # datasets and the hub client have many, and task code its own
        raise DataError(
            f"lm_eval:{name}: its data cannot be loaded here ({type(error).__name__}: {_shorten(error)}): fetch it once"
            " while online, or give the task local files in a YAML of your own (dataset_path: json) through"
            " --include_path"
        ) from error


def _shorten(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 200 else words[:197] + "..."


def run_tasks(
    policy: Policy, loaded: Loaded, options: Options
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Evaluate. Gives the parts of lm-eval's results that belong to the tasks (for `write_results`), and their samples.

    Raises `UsageError` for options that do not fit, and `PluginError` where a task's own code fails.
    """
    import lm_eval
    from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list

    multiturn = check_options(policy, loaded, options)
    from herl_bench.evaluation.lm_eval_model import PolicyLM

    model = PolicyLM(policy, seed=options.seed[2])
    given = {**vars(options), "fewshot_as_multiturn": multiturn, "gen_kwargs": dict(options.gen_kwargs) or None}
    if options.samples:
        given["samples"] = {name: sorted(set(ids)) for name, ids in options.samples.items()}
    given |= dict(zip(SEED_OPTIONS, given.pop("seed"), strict=True))
    try:
        outcome = lm_eval.simple_evaluate(
            model=model, tasks=list(loaded.objects), task_manager=loaded.manager, log_samples=True, **given
        )
    except (UsageError, OSError, MemoryError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {_shorten(error)}"
        raise PluginError(f"lm-eval failed on {', '.join(loaded.tasks)}: {what}") from error
    samples = outcome.pop("samples")
    for rows in samples.values():
        for row in rows:
            named = [{f"arg_{j}": a for j, a in enumerate(args)} for args in row["arguments"]]
            row["arguments"] = {f"gen_args_{i}": args for i, args in enumerate(named)}
            row["resps"], row["filtered_resps"] = sanitize_list(row["resps"]), sanitize_list(row["filtered_resps"])
            row["target"] = str(row["target"])
    wanted = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    section = {key: outcome[key] for key in wanted if key in outcome}
    section["task_hashes"] = {
        name: hash_string("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
        for name, rows in samples.items()
    }
    rates = {name: measure_rates(rows, model.finishes) for name, rows in samples.items()}
    section[NAMESPACE] = {"rates": {name: found for name, found in rates.items() if found}}
    plain = json.dumps([section, samples], default=handle_non_serializable, ensure_ascii=False)
    section, samples = json.loads(plain)
    return section, samples


def measure_rates(samples: Sequence[Mapping[str, Any]], finishes: Mapping[str, str]) -> dict[str, Any]:
    """What may make a score mean something else than it says: shares of empty responses, of those without an answer by
    any filter, and of those cut off (None where none says how it ended). Empty for tasks that compare likelihoods."""
    by_item: dict[Any, list[Mapping[str, Any]]] = {}
    for row in samples:
        if isinstance(row["resps"][0][0], str):
            by_item.setdefault(row["doc_id"], []).append(row)
    if not by_item:
        return {}
    firsts = [rows[0] for rows in by_item.values()]
    ends = [end for row in firsts if (end := finishes.get(row["arguments"]["gen_args_0"]["arg_0"]))]
    return {
        "responses": len(firsts),
        "truncated": sum(end == "length" for end in ends) / len(ends) if ends else None,
        "empty": sum(not row["resps"][0][0].strip() for row in firsts) / len(firsts),
        "unparsed": sum(all(INVALID in row["filtered_resps"] for row in rows) for rows in by_item.values())
        / len(firsts),
    }


def check_options(policy: Policy, loaded: Loaded, options: Options) -> bool:
    """Are few-shot examples turns of a conversation? Raises `UsageError` for what lm-eval would stumble over."""
    unsafe = [name for name, task in loaded.tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe:
        what = "runs the model's programs unprotected, which is refused here"
        raise UsageError(f"lm_eval:{unsafe[0]} {what}: use the task humaneval")
    if options.apply_chat_template and not policy.chat:
        raise UsageError(f"--apply_chat_template: the tokenizer of {policy.name} has no chat template")
    if options.fewshot_as_multiturn and not options.apply_chat_template:
        raise UsageError("--fewshot_as_multiturn needs --apply_chat_template: only a conversation has turns")
    for name, ids in (options.samples or {}).items():
        if name not in loaded.tasks:
            raise UsageError(f"--samples names {name!r}, which is none of the tasks {', '.join(loaded.tasks)}")
        items = len(loaded.tasks[name].eval_docs)
        if not all(0 <= i < items for i in ids):
            raise UsageError(f"--samples: {name} has the items 0 to {items - 1}")
    return bool(options.apply_chat_template) if options.fewshot_as_multiturn is None else options.fewshot_as_multiturn
