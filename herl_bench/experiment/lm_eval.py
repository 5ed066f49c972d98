"""lm-eval's tasks, named `lm_eval:NAME`, beside our own in one evaluation and one results file.

Left out: servers; lm-eval has its own way to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.errors import UsageError
from herl_bench.evaluation.result_files import NAMESPACE, describe_prompts, hash_text
from herl_bench.saving import write_whole

if TYPE_CHECKING:
    from herl_bench.evaluation.lm_eval_run import Loaded, Options
    from herl_bench.policy.answerer import Answerer
    from herl_bench.policy.load import Policy

PREFIX = "lm_eval:"


def split_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own tasks, and lm-eval's without their prefix."""
    own = [name for name in names if not name.startswith(PREFIX)]
    lm = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
    if not all(lm):
        raise UsageError(f"--tasks {PREFIX} lacks the name of an lm-eval task, such as {PREFIX}arc_easy")
    return own, lm


def load_lm_eval(
    names: Sequence[str], model: Answerer, options: Options, include_path: Sequence[str], data: str | None
) -> LmEvalTasks:
    """Also ours in lm-eval's form. Called before anything is generated, so that a wrong name costs nothing."""
    from herl_bench.evaluation.lm_eval_run import check_options, load_tasks
    from herl_bench.locate import tasks_path
    from herl_bench.policy.load import Policy

    if not isinstance(model, Policy):
        own = "for a server, lm-eval has its own --model local-completions"
        raise UsageError(f"{PREFIX} tasks need a local model: {own}")
    metadata = {"pretrained": model.path, **({"data_dir": data} if data else {})}
    loaded = load_tasks(names, [*include_path, tasks_path()], metadata)
    check_options(model, loaded, options)
    return LmEvalTasks(model, loaded, options)


@dataclass
class LmEvalTasks:
    """Loaded; once run, with their part of the results file and their samples."""

    policy: Policy
    loaded: Loaded
    options: Options
    section: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cache: Path | None = None

    def run(self, folder: Path | None) -> None:
        """Where results are written, responses are kept until they stand, so that a killed evaluation goes on."""
        from herl_bench.evaluation.lm_eval_run import run_tasks

        options = self.options
        if folder is not None and options.use_cache is None:
            identity = json.dumps(self.policy.identity, sort_keys=True, default=str)
            name = f"responses_lm_eval_{hash_text(identity)[:12]}"
            self.cache, options = folder / f"{name}_rank0.db", replace(options, use_cache=str(folder / name))
        self.section, self.samples = run_tasks(self.policy, self.loaded, options)

    def keep_samples(self, folder: Path, stamp: str, samples: bool) -> None:
        """Write the samples, now that the results stand, and drop what was kept for a second attempt."""
        for name, rows in self.samples.items() if samples else ():
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            write_whole(folder / f"samples_{name}_{stamp}.jsonl", "".join(lines))
        if self.cache is not None:
            self.cache.unlink(missing_ok=True)

    @property
    def scores(self) -> dict[str, Any]:
        return {key: self.section[key] for key in ("results", "groups") if key in self.section}

    def format_table(self) -> str:
        from lm_eval.utils import make_table

        tables: list[str] = [make_table(self.section)]
        tables += [make_table(self.section, "groups")] if self.section.get("groups") else []
        return "\n".join([*tables, *(_describe_rates(name, found) for name, found in self.rates.items())])

    @property
    def rates(self) -> Mapping[str, Mapping[str, Any]]:
        """Per task of generated answers, what may be wrong with them; see `evaluate.lm_eval_run.measure_rates`."""
        return dict(self.section.get(NAMESPACE, {}).get("rates", {}))

    def describe_config(self, *, alone: bool) -> dict[str, Any]:
        """For lm-eval's `config`. alone: no task of our own is in the results, whose settings would stand there."""
        names = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
        given = {"use_cache": self.options.use_cache, "bootstrap_iters": 100_000}
        given |= dict(zip(names, self.options.seed, strict=True))
        return given | ({"gen_kwargs": dict(self.options.gen_kwargs) or None} if alone else {})

    def describe_prompts(self) -> dict[str, Any]:
        """What stands at the top of lm-eval's results about the prompts."""
        options, multiturn = self.options, self.options.fewshot_as_multiturn
        template = self.policy.tokenizer.chat_template if options.apply_chat_template else None
        turns = bool(options.apply_chat_template) if multiturn is None else multiturn
        return describe_prompts(options.system_instruction, template, turns)


def _describe_rates(name: str, found: Mapping[str, Any]) -> str:
    rates = [(rate, found[rate]) for rate in ("truncated", "empty", "unparsed")]
    shares = [f"{rate} {'unknown' if share is None else format(share, '.1%')}" for rate, share in rates]
    return f"{name}: {found['responses']} responses: {', '.join(shares)}"
