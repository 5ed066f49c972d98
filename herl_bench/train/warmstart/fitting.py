"""Train a tiny policy from scratch on a task's demonstrations: the embedded policies come from here.

The demonstrations of the task's world are answered plainly (the prompt is the problem) or under guidance (the prompt is
what the hindsight template makes of a draft and its verdicts, at all three hint levels, sometimes without the draft, as
when a lesson is reused). So the policy learns to answer, with the misconceptions that the world planted, and learns to
follow guidance everywhere.

A world that plants nothing need not invent drafts: with `draft_steps`, a first policy is trained on the plain
demonstrations for so many steps, and what it answers (at temperature 1) to the problems of half of them becomes their
draft, wherever something is unmet in it.

TRL's `SFTTrainer` trains it, with three departures that make it fast on a CPU: the order of the rows is prepared here,
so that every micro-batch holds rows of nearly one length while every optimiser step still mixes lengths; the head runs
on response tokens only; and no attention mask is passed, because rows are padded on the right, where a causal model
cannot see the padding.

Left out: continuing from a checkpoint (it takes minutes), several processes, GPUs.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from herl_bench.errors import SaveError, UsageError
from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.rubric import judge
from herl_bench.settings import setting
from herl_bench.types import Demonstration, Example, HindsightTemplate, HintLevel, Metric, Rubric, Task

if TYPE_CHECKING:
    from herl_bench.policy.load import Policy

LEVELS: tuple[tuple[HintLevel, float], ...] = (("reference", 0.7), ("evidence", 0.2), ("criteria", 0.1))
"""How often each hint level occurs among the guided demonstrations."""

WITHOUT_DRAFT = 0.15
"""Share of guided demonstrations whose prompt shows the guidance but not the draft."""

SPECIALS = ("<pad>", "<bos>", "<eos>")
ISOLATED = r"<<|>>|\*\*|//|->|[=!<>+*/-]=|#+|\d|[-+*/=<>%^&|~#\n]"
"""Never merged with what stands beside them: single digits, operators, comment signs, line ends."""

ANOTHERS = "another's"
JUDGED_AT_ONCE = 512
TOKENIZED_AT_ONCE = 2048  # what a tokenizer returns is a hundred times larger than the ids
HALF_PRECISION_FROM = 2_600_000  # bytes of float32 weights; three policies share a wheel of a few megabytes
EVAL_SEED = 1_000_003  # fresh for every training seed that anybody is likely to write


@dataclass(frozen=True)
class WarmstartConfig:
    """What can be set on a warm start. The defaults give about 0.7 million parameters."""

    steps: int = setting(1200, "optimiser steps", ge=1)
    batch_size: int = setting(64, "demonstrations per optimiser step", ge=1)
    micro_batch_size: int = setting(16, "demonstrations per forward pass; changes speed, not the gradient", ge=1)
    learning_rate: float = setting(3e-3, "AdamW's peak", gt=0)
    optimizer: Literal["muon", "adamw"] = setting(
        "muon",
        "muon: Muon for the blocks' matrices and AdamW for the rest, which learns these worlds in fewer steps; or AdamW"
        " for all",
    )
    muon_learning_rate: float = setting(0.02, "Muon's peak", gt=0)
    schedule: Literal["cosine", "constant"] = setting(
        "cosine",
        "of both learning rates: up to the peak in warmup_steps and down to zero on a cosine, or at the peak"
        " throughout",
    )
    warmup_steps: int = setting(100, "of the cosine schedule, at most a tenth of all steps", ge=0)
    weight_decay: float = setting(0.01, "AdamW's", ge=0)
    hidden: int = setting(128, "width of the model", ge=8)
    layers: int = setting(3, "blocks", ge=1)
    heads: int = setting(4, "attention heads", ge=1)
    vocab: int = setting(512, "size of the tokenizer, special tokens included", ge=259)
    max_positions: int = setting(2048, "longest prompt and response together that the model reads", ge=16)
    max_length: int = setting(1024, "longer demonstrations (in tokens) are left out", ge=8)
    demonstrations: int = setting(
        0,
        "distinct demonstrations, shuffled anew at each pass; 0: one for every row trained on, at most 20,000 where"
        " judging runs code",
        ge=0,
    )
    draft_steps: int = setting(
        0,
        "steps of a first policy, thrown away, whose failures become drafts of plain demonstrations; for worlds that"
        " plant nothing",
        ge=0,
    )
    off_topic: float = setting(
        0.0,
        "share of guided demonstrations whose guidance is another problem's, and whose answer is the draft again",
        ge=0,
        le=0.5,
    )
    planted_share: float = setting(
        1.0,
        "share of the plain demonstrations of problems with a planted misconception that show it; the others are right",
        ge=0,
        le=1,
    )
    eval_steps: int = setting(300, "evaluate every so many steps (a third of the examples); 0: only at the end", ge=0)
    eval_examples: int = setting(300, "examples of the final evaluation", ge=1)
    seed: int = setting(0, "of demonstrations, initial weights and order", ge=0)
    bf16: bool = setting(
        False,
        "matrix products in bfloat16: nearly twice as fast on CPUs that have it (avx512_bf16, amx), slower on others",
    )
    threads: int = setting(0, "CPU threads; 0: as many as torch takes", ge=0)


@dataclass(frozen=True)
class _Row:
    prompt: str
    response: str


def warmstart(
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    output_dir: str | Path,
    config: WarmstartConfig,
    sandbox: Any = None,
    on_log: Callable[[Mapping[str, Any]], None] | None = None,
    *,
    metric: Metric,
) -> dict[str, Any]:
    """Train, save an ordinary transformers checkpoint into `output_dir`, evaluate what was saved; returns what
    `warmstart.json` holds.

    metric: what counts as right in the evaluation (1 or more is right); the task's primary one.
    on_log: gets a mapping with `step` and `loss` or `evaluation` (see `evaluate_policy`) as the training goes.

    Sets torch's global seed. The same config on the same machine with the same number of threads gives the same
    weights.
    Raises `UsageError` for a task without a world, `SaveError` where `output_dir` cannot be written.
    """
    if task.world is None:
        raise UsageError(f"task {task.name!r} has no synthetic world, so there are no demonstrations to learn from")
    if config.batch_size % config.micro_batch_size:
        raise UsageError(
            f"batch_size {config.batch_size} must be a multiple of micro_batch_size {config.micro_batch_size}"
        )
    if config.draft_steps and task.world.planted:
        raise UsageError(
            f"draft_steps: the plain demonstrations of {task.name!r} are wrong on purpose, so they revise nothing"
        )
    if config.hidden % (2 * config.heads):
        raise UsageError(f"hidden {config.hidden} must be an even multiple of heads {config.heads}")
    output_dir = Path(output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{output_dir}: cannot make this folder: {error.strerror}") from None

    def report(**row: Any) -> None:
        if on_log is not None:
            on_log(row)

    with _threads(config.threads):
        started = time.monotonic()

        def trained(config: WarmstartConfig, drafter: Policy | None) -> Policy:
            rows, skipped = training_rows(task, rubric, template, config, sandbox, drafter)
            tokenizer = train_tokenizer([row.prompt + row.response for row in rows[:4000]], config)
            data, left_out = tokenize(rows, tokenizer, config.max_length)
            passed = time.monotonic() - started
            report(
                step=0,
                demonstrations=len(data),
                skipped=skipped,
                too_long=left_out,
                vocab=len(tokenizer),
                seconds=passed,
            )
            return _train(task, rubric, template, metric, data, tokenizer, config, sandbox, output_dir, report)

        first = dataclasses.replace(config, steps=config.draft_steps, eval_steps=0)
        policy = _save(trained(config, trained(first, None) if config.draft_steps else None), output_dir)
        evaluation = evaluate_policy(policy, task, rubric, template, metric, sandbox, config.eval_examples)
        report(step=config.steps, evaluation=evaluation)
        seconds = time.monotonic() - started
    record = {
        "task": task.name,
        "command": command_of(task, config),
        "config": dataclasses.asdict(config),
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "planted": (
            task.world.planted
            if config.planted_share == 1
            else f"in {config.planted_share:.0%} of the plain demonstrations, {task.world.planted}"
        ),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("herl-bench", "torch", "transformers", "tokenizers", "trl")
        },
        "minutes": round(seconds / 60, 1),
        "evaluation": evaluation,
    }
    with _writing(output_dir):
        (output_dir / "warmstart.json").write_text(
            json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return record


def command_of(task: Task, config: WarmstartConfig) -> str:
    """The command that makes this policy again."""
    changed = [
        f"--set {f.name}={getattr(config, f.name)}"
        for f in dataclasses.fields(config)
        if getattr(config, f.name) != f.default
    ]
    return " ".join(["herl-bench warmstart", f"--task {task.name}", "-o DIR", *changed])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _writing(output_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(f"{output_dir}: cannot save the policy: {error.strerror or error}") from None


# ------------------------------------------------------------------------------------------------------- demonstrations
def training_rows(
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    config: WarmstartConfig,
    sandbox: Any = None,
    drafter: Policy | None = None,
) -> tuple[list[_Row], int]:
    """(rows, how many guided demonstrations were skipped because nothing was wrong with their draft).

    drafter: writes drafts for half of the demonstrations that have none.
    """
    assert task.world is not None
    wanted = config.demonstrations or config.steps * config.batch_size
    if not config.demonstrations and task.needs_sandbox:
        wanted = min(wanted, 20_000)
    rng = Random(f"{config.seed}/warmstart")
    source = task.world.demonstrations(config.seed)
    rows: list[_Row] = []
    skipped = 0
    while len(rows) < wanted:
        chunk = list(islice(source, min(JUDGED_AT_ONCE, wanted - len(rows))))
        if not chunk:
            raise UsageError(
                f"task {task.name!r}: its demonstrations ran out after {len(rows)}; they should be endless"
            )
        if config.planted_share < 1:
            chunk = _partly_right(chunk, task, config.planted_share, rng)
        if drafter is not None:
            chunk = _drafted(chunk, task, drafter, rng)
        made = _rows(chunk, task, rubric, template, config.off_topic, rng, sandbox)
        rows += [row for row in made if row is not None]
        skipped += made.count(None)
        if skipped > 4 * wanted + JUDGED_AT_ONCE:
            raise UsageError(
                f"task {task.name!r}: {skipped} drafts of its demonstrations have nothing unmet; what should guidance"
                " say?"
            )
    return rows, skipped


def _partly_right(chunk: Sequence[Demonstration], task: Task, share: float, rng: Random) -> list[Demonstration]:
    """The demonstrations, with the gold answer in place of a misconception where it should not show. What revises a
    draft is right anyway."""
    return [
        (
            dataclasses.replace(d, response=task.gold(d.example))
            if d.draft is None and d.example.info.get("planted") and rng.random() >= share
            else d
        )
        for d in chunk
    ]


def _drafted(chunk: Sequence[Demonstration], task: Task, drafter: Policy, rng: Random) -> list[Demonstration]:
    """The demonstrations, half of those without a draft with one that `drafter` samples."""
    import torch

    from herl_bench.policy.generation import generate

    assert task.world is not None
    chosen = [i for i, d in enumerate(chunk) if d.draft is None and rng.random() < 0.5]
    ids = drafter.encode([chunk[i].example.prompt for i in chosen], task.instruction)
    generator = torch.Generator(drafter.device).manual_seed(rng.getrandbits(62))
    written = generate(
        drafter, ids, temperature=1.0, max_new_tokens=task.world.max_new_tokens, stop=task.stop, generator=generator
    )
    drafts = dict(zip(chosen, (c.text for c in written), strict=True))
    return [dataclasses.replace(d, draft=drafts.get(i, d.draft)) for i, d in enumerate(chunk)]


def _rows(
    chunk: Sequence[Demonstration],
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    off_topic: float,
    rng: Random,
    sandbox: Any = None,
) -> list[_Row | None]:
    """What is trained on for each demonstration; None where nothing is unmet in its draft."""
    drafts = [(i, d.draft) for i, d in enumerate(chunk) if d.draft is not None]
    judged = (
        judge([chunk[i].example for i, _ in drafts], [draft for _, draft in drafts], rubric, sandbox=sandbox)
        if drafts
        else []
    )
    rows: list[_Row | None] = [_Row(d.example.prompt, d.response) if d.draft is None else None for d in chunk]
    before: tuple[Any, str] | None = None  # the family and the guidance of the guided demonstration before
    for (i, draft), judgement in zip(drafts, judged, strict=True):
        level = rng.choices([name for name, _ in LEVELS], [share for _, share in LEVELS])[0]
        shown = draft if rng.random() >= WITHOUT_DRAFT else None
        example, answer = chunk[i].example, chunk[i].response
        words = own = write_guidance(template, rubric, example, draft, judgement.verdicts, level)
        if (
            off_topic
            and own
            and before
            and before[0] != _kind(example)
            and rng.random() < off_topic
            and task.extract(example, draft) is not None
        ):
            words, answer = before[1], draft
        rows[i] = _Row(write_revision_prompt(template, example, words, shown), answer) if words else None
        before = (_kind(example), own) if own else before
    return rows


def _kind(example: Example) -> Any:
    return example.info.get("family"), example.info.get("variant")


# ------------------------------------------------------------------------------------------------------------ tokenizer
def train_tokenizer(texts: Sequence[str], config: WarmstartConfig) -> Any:
    """A byte-level BPE tokenizer: every text comes back as it went in, and text that spells a special token is not
    one."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(ISOLATED), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=config.vocab,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    pad, bos, eos = SPECIALS
    core.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        model_max_length=config.max_positions,
    )


def tokenize(rows: Sequence[_Row], tokenizer: Any, max_length: int) -> tuple[Any, int]:
    """(a dataset with `input_ids` and `labels`, -100 on the prompt; how many rows were longer than `max_length`).

    Prompt and response are tokenised apart, as they are when a policy is sampled from.
    """
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids, labels, offsets = array("q"), array("q"), array("i", [0])
    for start in range(0, len(rows), TOKENIZED_AT_ONCE):
        some = rows[start : start + TOKENIZED_AT_ONCE]
        prompts = tokenizer([r.prompt for r in some], add_special_tokens=False)["input_ids"]
        responses = tokenizer([r.response for r in some], add_special_tokens=False)["input_ids"]
        for prompt, response in zip(prompts, responses, strict=True):
            if len(prompt) + len(response) + 2 <= max_length:
                ids.extend([bos, *prompt, *response, eos])
                labels.extend([-100] * (1 + len(prompt)) + [*response, eos])
                offsets.append(len(ids))
    if len(offsets) == 1:
        raise UsageError(f"every demonstration is longer than max_length {max_length} tokens: raise it")
    columns = {
        name: pa.ListArray.from_arrays(np.frombuffer(offsets, np.int32), np.frombuffer(values, np.int64))
        for name, values in (("input_ids", ids), ("labels", labels))
    }
    return Dataset(pa.table(columns)), len(rows) - (len(offsets) - 1)


def row_order(lengths: Sequence[int], config: WarmstartConfig) -> list[int]:
    """Which row comes when: every pass in a new order; micro-batches of rows of nearly one length, in random order."""
    rng = Random(f"{config.seed}/order")
    wanted = config.steps * config.batch_size
    order: list[int] = []
    while len(order) < wanted:
        one_pass = list(range(len(lengths)))
        rng.shuffle(one_pass)
        order += one_pass
    order = order[:wanted]
    window = 16 * config.batch_size
    grouped: list[int] = []
    for start in range(0, wanted, window):
        near = sorted(order[start : start + window], key=lambda i: lengths[i])
        micro = [near[k : k + config.micro_batch_size] for k in range(0, len(near), config.micro_batch_size)]
        rng.shuffle(micro)
        grouped += [i for batch in micro for i in batch]
    return grouped


# ------------------------------------------------------------------------------------------------------------- training
def _train(
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    metric: Metric,
    data: Any,
    tokenizer: Any,
    config: WarmstartConfig,
    sandbox: Any,
    output_dir: Path,
    report: Callable[..., None],
) -> Policy:
    import torch
    from huggingface_hub import constants
    from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, TrainerCallback

    constants.HF_HUB_DISABLE_TELEMETRY = True  # training here is nobody else's business
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from trl import SFTConfig, SFTTrainer

    from herl_bench.policy.load import Policy, _quiet_transformers
    from herl_bench.train.warmstart.muon import MuonAndAdamW

    torch.manual_seed(config.seed)
    shape: dict[str, Any] = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    shape["attn_implementation"] = (
        "eager" if config.bf16 else "sdpa"
    )  # the fused attention's backward pass is slow in bfloat16
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=3 * config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.max_positions,
            tie_word_embeddings=True,
            attention_dropout=0.0,
            **shape,
        )
    )
    policy = Policy(model, tokenizer, task.name, str(output_dir))

    class ResponseOnly(SFTTrainer):
        """The mean negative log-likelihood of response tokens, like the parent's, without a head over prompt and
        padding."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> torch.Tensor:
            core = self.accelerator.unwrap_model(model)
            target_BT = inputs["labels"][:, 1:]
            mask_BT = target_BT != -100
            with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
                hidden_BTD = core.base_model(inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
                logits_NV = core.get_output_embeddings()(hidden_BTD[mask_BT])
            total = torch.nn.functional.cross_entropy(logits_NV.float(), target_BT[mask_BT], reduction="sum")
            return total / (mask_BT.sum() if num_items_in_batch is None else num_items_in_batch)

    class Reporter(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                passed = time.monotonic() - started
                report(step=state.global_step, steps=state.max_steps, loss=float(logs["loss"]), seconds=passed)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            every = config.eval_steps
            if every and state.global_step % every == 0 and state.global_step < state.max_steps:
                few = max(1, config.eval_examples // 3)
                report(
                    step=state.global_step,
                    evaluation=evaluate_policy(policy, task, rubric, template, metric, sandbox, few),
                )

    lengths = data.data.column("input_ids").combine_chunks().value_lengths().to_pylist()
    new_name = "activation_checkpointing"  # TRL's default is on; the old name is deprecated where the new one exists
    no_checkpointing: dict[str, Any] = {
        new_name if new_name in SFTConfig.__dataclass_fields__ else "gradient_checkpointing": False
    }
    settings = SFTConfig(
        output_dir=str(output_dir),
        max_steps=config.steps,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=min(config.warmup_steps, config.steps // 10),
        weight_decay=config.weight_decay,
        adam_beta1=0.9,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        use_cpu=True,
        bf16=False,
        **no_checkpointing,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=max(1, min(50, config.steps // 10)),
        seed=config.seed,
    )
    optimizer = None  # the trainer makes its AdamW
    if config.optimizer == "muon":
        optimizer = MuonAndAdamW(model, config.learning_rate, config.muon_learning_rate, config.weight_decay)
    with _quiet_transformers():
        trainer = ResponseOnly(
            model=model,
            args=settings,
            train_dataset=data.select(row_order(lengths, config)),
            processing_class=tokenizer,
            callbacks=[Reporter()],
            optimizers=(optimizer, None),
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train()
    model.eval()
    return policy


def _save(policy: Policy, output_dir: Path) -> Policy:
    """Write the checkpoint, in half precision where float32 would be large, and load it again as users will."""
    import torch

    from herl_bench.policy.load import _quiet_transformers, load_policy

    small = 4 * sum(p.numel() for p in policy.model.parameters()) <= HALF_PRECISION_FROM
    with _writing(output_dir), _quiet_transformers():
        policy.model.to(torch.float32 if small else torch.float16).save_pretrained(output_dir)
        policy.tokenizer.save_pretrained(output_dir)
    return load_policy(output_dir)


# ----------------------------------------------------------------------------------------------------------- evaluation
def evaluate_policy(
    policy: Policy,
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    metric: Metric,
    sandbox: Any = None,
    n: int = 300,
    levels: Sequence[HintLevel] = ("reference", "evidence"),
) -> dict[str, Any]:
    """How good a warm-started policy is on `n` evaluation examples of its world.

    `plain` (greedy) and `sampled` (temperature 1): share right `overall`, on `planted` and on `other` families.
    `repaired`: for each hint level, the share of the greedy failures whose greedy revision, given draft and guidance,
    is right; the same three columns; under `another's` with the guidance (at the first level) that the next failure of
    another family was given, which a policy that reads its guidance should make nothing of. `families`: per family,
    plain share right, share repaired at the first level, examples. `truncated`: share of greedy responses cut off by
    the world's max_new_tokens. None stands where there was nothing to count.
    """
    import torch

    from herl_bench.policy.generation import generate

    world = task.world
    assert world is not None
    examples = list(islice(world.examples("eval", EVAL_SEED, world.difficulty), n))

    def write(prompts: list[str], temperature: float) -> list[Any]:
        generator = torch.Generator(policy.device).manual_seed(0)
        ids = policy.encode(prompts, task.instruction)
        return generate(
            policy,
            ids,
            temperature=temperature,
            max_new_tokens=world.max_new_tokens,
            stop=task.stop,
            generator=generator,
        )

    def right(these: Sequence[Example], texts: Sequence[str]) -> tuple[list[bool], list[Any]]:
        judged = judge(these, texts, rubric, [metric], sandbox=sandbox)
        return [(j.metrics[metric.key] or 0.0) >= 1.0 for j in judged], judged

    plain = write([e.prompt for e in examples], 0.0)
    texts = [c.text for c in plain]
    plain_right, judged = right(examples, texts)
    sampled_right, _ = right(examples, [c.text for c in write([e.prompt for e in examples], 1.0)])
    failed = [i for i, ok in enumerate(plain_right) if not ok]
    repaired: dict[str, dict[str, float | None]] = {}
    families: dict[str, list[float | None]] = {}
    told = {
        level: [write_guidance(template, rubric, examples[i], texts[i], judged[i].verdicts, level) for i in failed]
        for level in levels
    }
    for level, words in (told | {ANOTHERS: _exchanged([examples[i] for i in failed], told[levels[0]])}).items():
        guided = [i for i, w in zip(failed, words, strict=True) if w]
        prompts = [
            write_revision_prompt(template, examples[i], w, texts[i]) for i, w in zip(failed, words, strict=True) if w
        ]
        good, _ = right([examples[i] for i in guided], [c.text for c in write(prompts, 0.0)])
        fixed = dict(zip(guided, good, strict=True))
        outcome = [fixed.get(i, False) for i in failed]
        repaired[level] = _shares([examples[i] for i in failed], outcome)
        if not families:
            families = _by_family(examples, plain_right, failed, outcome)
    return {
        "examples": n,
        "plain": _shares(examples, plain_right),
        "sampled": _shares(examples, sampled_right),
        "repaired": repaired,
        "truncated": _share([c.finish == "length" for c in plain]),
        "families": families,
    }


def _exchanged(examples: Sequence[Example], words: Sequence[str]) -> list[str]:
    """To each example the words of the next one, counted in a circle, that is of another family; empty where there is
    none."""
    count = len(examples)
    return [
        next(
            (
                words[j % count]
                for j in range(i + 1, i + count)
                if _kind(examples[j % count]) != _kind(examples[i]) and words[j % count]
            ),
            "",
        )
        for i in range(count)
    ]


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 3) if flags else None


def _shares(examples: Sequence[Example], flags: Sequence[bool]) -> dict[str, float | None]:
    planted = [bool(e.info.get("planted")) for e in examples]
    return {
        "overall": _share(flags),
        "planted": _share([f for f, p in zip(flags, planted, strict=True) if p]),
        "other": _share([f for f, p in zip(flags, planted, strict=True) if not p]),
    }


def _by_family(
    examples: Sequence[Example], plain_right: Sequence[bool], failed: Sequence[int], repaired: Sequence[bool]
) -> dict[str, list[float | None]]:
    name = [str(e.info.get("family", "")) for e in examples]
    rows: dict[str, list[float | None]] = {}
    for family in sorted(set(name)):
        plain = [ok for ok, n in zip(plain_right, name, strict=True) if n == family]
        rows[family] = [
            _share(plain),
            _share([ok for i, ok in zip(failed, repaired, strict=True) if name[i] == family]),
            len(plain),
        ]
    return rows
