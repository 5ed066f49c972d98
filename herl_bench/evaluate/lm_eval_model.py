"""lm-eval's tasks on our policies: an lm-eval `LM` on our generation engine, and the run that fills the same results
file as our own tasks.

`PolicyLM` tokenises, truncates, stops and decodes as lm-eval's own `hf` model does, so that both give the same
likelihoods and, greedily, the same texts. It differs where our engine does: sampling is from the whole distribution at
the given temperature, so top-p, top-k, penalties and beams are refused rather than ignored; and a prompt and
continuation that several requests share is read once.

Left out: encoder-decoder models, images and audio, several processes, chains of thought between thinking tokens, and
tasks that run the model's programs outside a sandbox. This module imports lm-eval, which takes seconds: import it late.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, resolve_max_length

from herl_bench.errors import DataError, PluginError, UnknownName, UsageError
from herl_bench.evaluate.result_files import NAMESPACE
from herl_bench.policy.generation import Completion, generate
from herl_bench.policy.load import Policy

INVALID = "[invalid]"
"""What lm-eval's filters give where they find no answer."""

SEEDS = (0, 1234, 1234, 1234)
"""lm-eval's own: Python, numpy, torch, few-shot."""

MAX_GEN_TOKS = 256
TOKENS_AT_ONCE = 8192
LOGITS_AT_ONCE = 2**28
NEUTRAL = {
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "typical_p": 1,
    "repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "length_penalty": 1,
    "num_return_sequences": 1,
}
ONLY_WHEN_SAMPLING = {"top_p", "top_k", "min_p", "typical_p"}

log = logging.getLogger("herl_bench")


class PolicyLM(TemplateLM):  # type: ignore[misc]
    """A policy as lm-eval sees it. seed: of the sampling, where a task or `gen_kwargs` ask for it."""

    def __init__(self, policy: Policy, *, seed: int | None = SEEDS[2]):
        super().__init__()
        self.policy = policy
        self.tokenizer = policy.tokenizer
        self._device = policy.device
        self.finishes: dict[str, str] = {}  # how the response to a prompt ended; nothing of responses out of a cache
        self._generator = torch.Generator(device=policy.device)
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    # ---------------------------------------------------------------------------------------- tokens, as lm-eval's `hf`
    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def max_length(self) -> int:
        return int(resolve_max_length(self.policy.model.config, self.tokenizer))

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """A text that begins with BOS gets no second one."""
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        given = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        ids: list[int] = self.tokenizer.encode(string, **given)
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        from jinja2 import TemplateError

        def render(turns: list[dict[str, str]]) -> str:
            more = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
            text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, **more)
            return text

        def either() -> tuple[str, bool]:
            try:
                return render(chat_history), True
            except TemplateError:
                return render([turn for turn in chat_history if turn["role"] != "system"]), False

        text, whole = self.policy.render_bounded(either)
        if not whole:
            log.warning("the chat template takes no system turn: it is left out, as lm-eval does")
        return str(text)

    # ------------------------------------------------------------------------------------------------------- generation
    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Requests with the same settings are written together."""
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True, default=str), []).append(i)
        texts: dict[int, str] = {}
        for group in groups.values():
            how = _sampling(requests[group[0]].args[1], self.tokenizer.decode(self.eot_token_id))
            room = self.max_length - how.max_gen_toks
            if room < 1:
                raise UsageError(
                    f"max_gen_toks {how.max_gen_toks} leaves no room for a prompt: {self.policy.name} reads"
                    f" {self.max_length} tokens in all; pass --gen_kwargs max_gen_toks=N"
                )
            prompts = [self.tok_encode(requests[i].args[0])[-room:] or [self.prefix_token_id] for i in group]

            def keep(at: int, completion: Completion, group: list[int] = group, how: _Sampling = how) -> None:
                text = how.cut(self.tokenizer.decode(list(completion.ids), skip_special_tokens=True))
                texts[group[at]] = text
                self.finishes[requests[group[at]].args[0]] = completion.finish
                self.cache_hook.add_partial("generate_until", requests[group[at]].args, text)

            generate(
                self.policy,
                prompts,
                temperature=how.temperature,
                max_new_tokens=how.max_gen_toks,
                stop=how.until,
                generator=self._generator,
                on_completion=keep,
            )
        return [texts[i] for i in range(len(requests))]

    # ------------------------------------------------------------------------------------------------------ likelihoods
    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """(sum of the continuation's log-probs, is it what greedy decoding writes?) of each (key, context ids,
        continuation ids)."""
        rows: dict[tuple[int, ...], list[int]] = {}  # what the model reads, and whose requests it answers
        for i, (_, context, continuation) in enumerate(requests):
            if not continuation or len(continuation) > self.max_length:
                raise UsageError(
                    f"a continuation of {len(continuation)} tokens cannot be scored by a model that reads"
                    f" {self.max_length}"
                )
            read = (
                context or [self.prefix_token_id]
            ) + continuation  # a context of spaces alone has become part of the continuation
            rows.setdefault(tuple(read[-(self.max_length + 1) : -1]), []).append(i)
        found: dict[int, tuple[float, bool]] = {}
        with torch.inference_mode():
            for batch in self._batches(rows, requests):
                keep = max(len(requests[i][2]) for row in batch for i in rows[row])
                for row, logp_TV in zip(batch, self._logprobs(batch, keep), strict=True):
                    for i in rows[row]:
                        key, _, continuation = requests[i]
                        tail_TV, ids_T = (
                            logp_TV[-len(continuation) :],
                            torch.tensor(continuation, device=logp_TV.device),
                        )
                        found[i] = (
                            float(tail_TV.gather(1, ids_T[:, None]).sum()),
                            bool((tail_TV.argmax(-1) == ids_T).all()),
                        )
                        if key is not None:
                            self.cache_hook.add_partial("loglikelihood", key, found[i])
        return [found[i] for i in range(len(requests))]

    def _batches(
        self, rows: Mapping[tuple[int, ...], list[int]], requests: Sequence[tuple[Any, list[int], list[int]]]
    ) -> Any:
        """Rows of similar length, as many as fit. The longest come first, so that memory runs out at once or not at
        all."""
        batch: list[tuple[int, ...]] = []
        keep, vocabulary = 0, self.policy.model.config.get_text_config().vocab_size
        for row in sorted(rows, key=lambda row: (-len(row), row)):
            longest = max(keep, *(len(requests[i][2]) for i in rows[row]))
            size = len(batch) + 1
            if batch and (size * len(batch[0]) > TOKENS_AT_ONCE or size * longest * vocabulary > LOGITS_AT_ONCE):
                yield batch
                batch, longest = [], max(len(requests[i][2]) for i in rows[row])
            batch.append(row)
            keep = longest
        if batch:
            yield batch

    def _logprobs(self, rows: Sequence[tuple[int, ...]], keep: int) -> torch.Tensor:
        """(B, T, V) over the last `keep` positions: padding stands on the left, so that these are the same columns in
        every row."""
        width = max(map(len, rows))
        ids_BT = torch.full((len(rows), width), self.policy.pad_id)
        mask_BT = torch.zeros(len(rows), width, dtype=torch.long)
        for b, row in enumerate(rows):
            ids_BT[b, width - len(row) :] = torch.tensor(row)
            mask_BT[b, width - len(row) :] = 1
        ids_BT, mask_BT = ids_BT.to(self.policy.device), mask_BT.to(self.policy.device)
        positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
        logits = self.policy.model(
            ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False, logits_to_keep=keep
        ).logits
        return torch.log_softmax(logits[:, -keep:].float(), -1)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts; what exceeds the model's length is scored in windows, each token once."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows, owner = [], []
        for i, request in enumerate(requests):
            rolled = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for window in map(make_disjoint_window, rolled):
                windows.append((None, *window))
                owner.append(i)
        totals = [0.0] * len(requests)
        for i, (value, _) in zip(owner, self._loglikelihood_tokens(windows), strict=True):
            totals[i] += value
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals


@dataclass(frozen=True)
class _Sampling:
    temperature: float
    max_gen_toks: int
    until: tuple[str, ...]

    def cut(self, text: str) -> str:
        return text[: min((at for at in (text.find(s) for s in self.until) if at >= 0), default=len(text))]


def _sampling(gen_kwargs: Mapping[str, Any], eos: str) -> _Sampling:
    """lm-eval's generation settings as our engine's. Raises `UsageError` for what it cannot do."""
    kwargs = dict(normalize_gen_kwargs(dict(gen_kwargs), MAX_GEN_TOKS))
    until = handle_stop_sequences(kwargs.pop("until"), eos=eos)
    longest, sampling, temperature = (
        kwargs.pop("max_gen_toks"),
        bool(kwargs.pop("do_sample")),
        float(kwargs.pop("temperature", 0.0)),
    )
    if sampling and temperature == 0:
        raise UsageError("do_sample=true needs a temperature above 0: pass --gen_kwargs do_sample=true,temperature=1.0")
    for name, value in kwargs.items():
        if (
            value is None
            or (name in NEUTRAL and value == NEUTRAL[name])
            or (name in ONLY_WHEN_SAMPLING and not sampling)
        ):
            continue
        raise UsageError(
            f"{name}={value} is not supported: responses are drawn from the whole distribution, by temperature alone"
        )
    return _Sampling(temperature if sampling else 0.0, int(longest), tuple(s for s in until if s))


# -------------------------------------------------------------------------------------------------------- running tasks
@dataclass(frozen=True)
class Loaded:
    """Tasks and groups as lm-eval loads them, with their data. tasks: the single tasks inside, by name."""

    objects: tuple[Any, ...]
    tasks: Mapping[str, Any]
    manager: Any


@dataclass(frozen=True)
class Options:
    """As lm-eval's options of the same names. seeds: Python, numpy, torch, few-shot; None leaves one unset."""

    num_fewshot: int | None = None
    limit: int | float | None = None
    samples: Mapping[str, Sequence[int]] | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_instruction: str | None = None
    apply_chat_template: bool | str = False
    fewshot_as_multiturn: bool | None = None
    use_cache: str | None = None
    seeds: tuple[int | None, int | None, int | None, int | None] = SEEDS


def load_tasks(
    names: Sequence[str], include_path: Sequence[str | Path] = (), metadata: Mapping[str, Any] | None = None
) -> Loaded:
    """Find lm-eval tasks, groups, tags, patterns or YAML files by name, and read their data.

    Raises `UnknownName` with the nearest names, and `DataError` where a task's data cannot be had.
    """
    for path in include_path:
        if not Path(path).is_dir():
            raise UsageError(f"--include_path {path}: no such folder")
    manager = _manager(names, [Path(p) for p in include_path], dict(metadata or {}))
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


def _manager(names: Sequence[str], include_path: Sequence[Path], metadata: dict[str, Any]) -> Any:
    """lm-eval's index of task files. It takes half a minute to parse all of its own, so only the folders of the named
    tasks are read where these are single tasks; groups, tags and patterns need the whole index. Raises
    `UnknownName`."""
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
        raise UsageError(
            f"lm_eval:{name} needs a package that is not installed ({_line(error)}): see lm-eval's extras"
        ) from None
    except Exception as error:  # datasets and the hub client have many, and task code its own
        raise DataError(
            f"lm_eval:{name}: its data cannot be loaded here ({type(error).__name__}: {_line(error)}): fetch it once"
            " while online, or give the task local files in a YAML of your own (dataset_path: json) through"
            " --include_path"
        ) from error


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 200 else words[:197] + "..."


def run_tasks(
    policy: Policy, loaded: Loaded, options: Options
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Evaluate. Gives the parts of lm-eval's results that belong to the tasks (for `write_results`), and the samples of
    each task.

    Raises `UsageError` for options that do not fit, and `PluginError` where a task's own code fails.
    """
    import lm_eval
    from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list

    multiturn = check(policy, loaded, options)
    model = PolicyLM(policy, seed=options.seeds[2])
    try:
        outcome = lm_eval.simple_evaluate(
            model=model,
            tasks=list(loaded.objects),
            task_manager=loaded.manager,
            num_fewshot=options.num_fewshot,
            limit=options.limit,
            samples={name: sorted(set(ids)) for name, ids in options.samples.items()} if options.samples else None,
            gen_kwargs=dict(options.gen_kwargs) or None,
            system_instruction=options.system_instruction,
            apply_chat_template=options.apply_chat_template,
            fewshot_as_multiturn=multiturn,
            use_cache=options.use_cache,
            log_samples=True,
            **dict(
                zip(
                    ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"),
                    options.seeds,
                    strict=True,
                )
            ),
        )
    except (UsageError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(
            f"lm-eval failed on {', '.join(loaded.tasks)}: {type(error).__name__}: {_line(error)}"
        ) from error
    samples = outcome.pop("samples")
    for rows in samples.values():
        for row in rows:
            row["arguments"] = {
                f"gen_args_{i}": {f"arg_{j}": a for j, a in enumerate(args)} for i, args in enumerate(row["arguments"])
            }
            row["resps"], row["filtered_resps"] = sanitize_list(row["resps"]), sanitize_list(row["filtered_resps"])
            row["target"] = str(row["target"])
    wanted = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    section = {key: outcome[key] for key in wanted if key in outcome}
    section["task_hashes"] = {
        name: hash_string("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
        for name, rows in samples.items()
    }
    section[NAMESPACE] = {
        "rates": {name: found for name, rows in samples.items() if (found := rates(rows, model.finishes))}
    }
    plain: tuple[dict[str, Any], dict[str, list[dict[str, Any]]]] = json.loads(
        json.dumps([section, samples], default=handle_non_serializable, ensure_ascii=False)
    )
    return plain[0], plain[1]


def rates(samples: Sequence[Mapping[str, Any]], finishes: Mapping[str, str]) -> dict[str, Any]:
    """What may make a score mean something else than it says: shares of empty responses, of such in which no filter
    found an answer, and of such that were cut off (None where no response says how it ended). Empty for tasks that
    compare likelihoods.
    """
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
        "unparsed": (
            sum(all(INVALID in row["filtered_resps"] for row in rows) for rows in by_item.values()) / len(firsts)
        ),
    }


def check(policy: Policy, loaded: Loaded, options: Options) -> bool:
    """Are few-shot examples turns of a conversation? Raises `UsageError` for what lm-eval would refuse or only stumble
    over."""
    unsafe = [name for name, task in loaded.tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe:
        raise UsageError(
            f"lm_eval:{unsafe[0]} runs the model's programs unprotected, which is refused here: use the task humaneval"
        )
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
