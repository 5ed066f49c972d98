"""How a model is asked: what a caller chooses (`Sampling`), and what that comes to for one model and task.

Training asks by the same rules (`training/training_run.py`): a policy is evaluated as it was trained. A model with a
chat template is told the task's instruction and ends its turn itself; any other writes on until a stop string.

Left out: few-shot examples as turns of a conversation, and another draw of them for each item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from herl_bench.conversation import Prompt, put_before
from herl_bench.policy.answerer import Answer, Answerer, ResolvedSampling, ignore_count
from herl_bench.types import Example, Task

SEEDS = (0, 1234, 1234, 1234)  # lm-eval's own: Python, numpy, torch, few-shot


@dataclass(frozen=True)
class Sampling:
    """n: responses to each example. stop, system_instruction: instead of the task's; the latter stands first in the
    prompt where there is no chat template. shots: examples that stand, with gold answers, before each question."""

    max_new_tokens: int
    temperature: float = 0.0
    n: int = 1
    seed: int = 0
    stop: Sequence[str] | None = None
    system_instruction: str | None = None
    shots: Sequence[Example] = ()


def resolve_sampling(sampling: Sampling, model: Answerer, task: Task) -> ResolvedSampling:
    """What the model is given and how it answers. One that ends its own turn needs no stop strings: its answer may well
    begin with what would stop a plain continuation."""
    told, template = sampling.system_instruction, getattr(getattr(model, "tokenizer", None), "chat_template", None)
    opening = [f"{told}\n\n"] if told and not model.chat else []
    stop = sampling.stop if sampling.stop is not None else () if model.chat else task.stop
    return ResolvedSampling(
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        n=sampling.n,
        seed=sampling.seed,
        stop=list(stop),
        instruction=(task.instruction if told is None else told) if model.chat else "",
        num_fewshot=len(sampling.shots),
        prefix="".join([*opening, *(_show_answer(task, example) for example in sampling.shots)]),
        chat_template=template if isinstance(template, str) else None,
        chat_template_kwargs=getattr(model, "chat_template_kwargs", None) or None,
    )


def default_max_new_tokens(task: Task, source: str) -> int:
    """The longest answer where nobody set one: the synthetic world's, else the task's."""
    return task.world.max_new_tokens if source == "synthetic" and task.world else task.max_new_tokens


def ask(
    model: Answerer,
    sampling: ResolvedSampling,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    on_answers: Callable[[int], None] = ignore_count,
) -> list[Answer]:
    """One answer to each prompt. on_answers: told how many more are finished, as soon as they are."""
    return model.answer([put_before(sampling.prefix, prompt) for prompt in prompts], seeds, sampling, on_answers)


def derive_seed(seed: int | None, item: str, sample: int) -> int:
    """A response's own seed: what was sampled before it plays no part."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{item}/{sample}".encode()).digest()[:4], "big") >> 1


def _show_answer(task: Task, example: Example) -> str:
    answer = task.gold(example)
    apart = example.prompt[-1:].isspace() or answer[:1].isspace()
    return f"{example.prompt}{'' if apart else ' '}{answer}\n\n"
