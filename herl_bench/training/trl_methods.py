"""`--method grpo` and `rloo`: TRL's own trainers on the prompts, rewards, base policy and budget of the other methods.

TRL does the learning: advantages, reference policy, loss, optimiser, loop. Around it stands what makes a run
comparable: a step's prompts come from the same stream as PPO's, its responses are sampled and judged here (`sampling`),
every generated token is charged, and the same files are written. Sampling here replaces TRL's through two private
methods, `_tokenize_prompts` and `_generate_single_turn`, which hand over token ids that exist already; a version of TRL
without them is refused. TRL's own way samples from the same distribution, slower on a CPU. Minibatches are trimmed to
their own longest prompt and response before TRL scores them, which changes no number beyond rounding.

A step is TRL's generation batch: sample, judge, then one optimiser step per minibatch, as many of them as PPO takes of
as many rollouts. TRL would leave out what does not divide evenly, so it is divided here. The last step is made smaller
to fit. Checkpoints are written between steps, where all there is are weights, optimiser, counters and one random state.

Left out: more than one process or GPU; gradient accumulation; models that count the padding in front of a prompt as
positions (learnt position embeddings), because TRL pads there without saying so.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch

from herl_bench.errors import UsageError
from herl_bench.evaluation.scores import mean
from herl_bench.policy import adapters
from herl_bench.policy.load import Policy
from herl_bench.policy.placement import refuse_several
from herl_bench.training.config import GRPOConfig, TRLConfig
from herl_bench.training.judging import Judging
from herl_bench.training.metrics import describe_step
from herl_bench.training.rollouts import Assignment, Rollout
from herl_bench.training.sampling import judge_rollouts, sample_rollouts
from herl_bench.training.steps import (
    Clock,
    ExampleStream,
    afford_rollouts,
    count_minibatches,
    log_step,
    open_accelerator,
    restore_generator,
    stop_diverged,
)
from herl_bench.training.training_run import TrainingRun
from herl_bench.training.update import ADAM

SAME_NAMES = ("loss", "grad_norm", "learning_rate", "kl", "entropy")
LOGGED = {**{name: name for name in SAME_NAMES}, "clip_ratio/region_mean": "clip_fraction"}
"""What TRL logs per optimiser step, and its name here. A step's row has the mean."""


def train(run: TrainingRun) -> None:
    """Spend the run's budget. Raises `DivergedError` on NaN or exploding KL, after saving what there was."""
    source = StepSource(run)
    if (state := run.load_checkpoint()) is not None:
        source.load_state_dict(state)
    if source.plan() and not run.interrupted:
        with _ignoring_old_names():
            source.trainer.train()
        run.policy.model.eval()
        run.save_checkpoint(source.steps, source.state_dict())


@contextmanager
def _ignoring_old_names() -> Iterator[None]:
    """TRL and peft ask transformers by names that go away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        yield


class StepSource:
    """Where TRL's batches come from. Iterating is the run: each step is sampled, judged, handed over, and logged."""

    def __init__(self, run: TrainingRun):
        self.run = run
        self.config: TRLConfig = run.config
        rollouts, group = self.config.rollouts_per_step, self.config.num_generations
        if rollouts < group:
            raise UsageError(f"rollouts_per_step={rollouts} holds no group of num_generations={group} responses")
        refuse_several(run.policy.placement)
        self.judging = Judging(run.environment)
        self.trainer = _open_trainer(self)
        self.tracker = open_accelerator(run, self.config) if run.report_to else None
        # The first of `herl.STREAMS`: before anything was learnt, PPO's responses are these.
        self.sampling = torch.Generator(self.trainer.accelerator.device).manual_seed(run.seed * 1000)
        self.examples = ExampleStream(run.data)
        self.saved_optimizer: dict[str, Any] | None = None
        self.learnt: dict[str, list[float]] = defaultdict(list)
        self.rollouts: list[Rollout] = []
        self.steps, self.started = 0, time.monotonic()

    # ----------------------------------------------------------------------------------------------------------- a step
    def plan(self) -> tuple[int, int] | None:
        """(prompts, minibatches) of the next step; None when the budget is spent."""
        rollouts, each = afford_rollouts(self.run, self.steps), self.config.num_generations
        prompts, minibatches = rollouts // each, count_minibatches(rollouts, self.config.minibatch_size)
        return (prompts, min(minibatches, prompts * each)) if prompts else None

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """The same batch once per optimiser step: it is read at the first, and divided into minibatches there."""
        run, config = self.run, self.config
        while not run.interrupted and (plan := self.plan()):
            (prompts, minibatches), clock = plan, Clock(self.started)
            examples = self.examples.take(prompts)
            assigned = [Assignment(e, e.prompt) for e in examples for _ in range(config.num_generations)]
            with clock("sample"):
                self.rollouts = sample_rollouts(run, self.judging, assigned, config.temperature, self.sampling)
            with clock("judge"):
                self.rollouts = judge_rollouts(run, self.judging, self.rollouts)
            # Without a single reward there is nothing to learn, not even by momentum.
            if any(reward is not None for reward in self.list_rewards(self.rollouts)):
                with clock("learn"):
                    self.trainer.hand_over(self.rollouts, minibatches)
                    # TRL shuffles with torch's global state: seeded by the step, so that a resumed run shuffles alike.
                    # The factor, a prime, keeps the steps of one seed apart from those of the next.
                    torch.manual_seed(run.seed * 1_000_003 + self.steps)
                    for _ in range(minibatches * config.num_iterations):
                        yield [{"prompt": r.prompt, "rollout": r} for r in self.rollouts]
            self._log(clock)
            if self.steps % config.save_steps == 0:
                run.save_checkpoint(self.steps, self.state_dict())
        self.trainer.control.should_training_stop = True

    def list_rewards(self, rollout: Sequence[Rollout], **_: Any) -> list[float | None]:
        """TRL's reward function; None is a response that TRL must not learn from."""
        return [r.reward for r in rollout]

    def _log(self, clock: Clock) -> None:
        self.steps += 1
        learnt = {name: mean(v if math.isfinite(v) else None for v in values) for name, values in self.learnt.items()}
        self.learnt.clear()
        kl, most = learnt.get("kl") or 0.0, self.config.max_kl
        if kl > most:
            self.stop_diverged(f"the KL to the starting policy is {kl:.2f} nats per token (max_kl={most})")
        rewards, size = self.list_rewards(self.rollouts), self.config.num_generations
        groups = [set(rewards[i : i + size]) - {None} for i in range(0, len(rewards), size)]
        row = {
            **describe_step(self.run, self.steps, self.rollouts, clock),
            # TRL's own looks at the whole batch where it scales by that.
            "frac_reward_zero_std": mean(len(group) < 2 for group in groups),
            "rows": sum(reward is not None for reward in rewards),
            **learnt,
        }
        log_step(self.run, row, self.rollouts, self.tracker)

    def stop_diverged(self, reason: str) -> NoReturn:
        stop_diverged(self.run, self.steps, self.state_dict(), reason, kl_weight="beta")

    # ------------------------------------------------------------------------------------------------------- checkpoint
    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "steps": self.steps,
            "position": self.examples.position,
            "policy": adapters.collect_trained(self.run.policy.model),
            "optimizer": self.trainer.optimizer.state_dict(),
            "budget": self.run.budget.state_dict(),
            "sampling": self.sampling.get_state(),
            "cache_bytes": self.run.policy.cache_bytes,  # another number of responses at once gives other ones
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """TRL makes its optimiser when it begins to train; that one's state waits until then."""
        self.steps, self.examples.position = state["steps"], state["position"]
        adapters.restore_trained(self.run.policy.model, state["policy"])
        self.saved_optimizer = state["optimizer"]
        self.run.budget.load_state_dict(state["budget"])
        restore_generator(self.sampling, state["sampling"])
        self.run.policy.cache_bytes = state.get("cache_bytes", self.run.policy.cache_bytes)


# ----------------------------------------------------------------------------------------------------------- TRL's side
def _open_trainer(source: StepSource) -> Any:
    """TRL's trainer for the run's method, with its batches coming out of `source`."""
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True  # training here is nobody else's business
    import trl
    from accelerate.utils import patch_environment
    from datasets import Dataset
    from transformers import PrinterCallback

    run = source.run
    base: Any = trl.GRPOTrainer if isinstance(source.config, GRPOConfig) else trl.RLOOTrainer
    private = ("_tokenize_prompts", "_generate_single_turn", "_generate_and_score_completions", "_prepare_inputs")
    missing = [name for name in private if not hasattr(base, name)]
    if missing:
        lacks = f"TRL {trl.__version__} has no {base.__name__}.{missing[0]}"
        raise UsageError(f"--method {run.method.name}: {lacks}: install trl==1.16.0")
    if _counts_padding(run.policy):
        why = f"TRL scores {run.policy.name} wrongly, because it counts padding as positions"
        raise UsageError(f"--method {run.method.name}: {why}: use ppo or herl")
    for name in ("grpo", "rloo"):  # they describe each response without a reward at length; `error_rate` counts them
        logging.getLogger(f"trl.trainer.{name}_trainer").setLevel(logging.ERROR)
    lora = None
    if rank := source.config.lora_rank:
        lora = adapters.make_lora(rank, source.config.lora_alpha)
        adapters.round_weights(run.policy.model, run.policy.placement.torch_dtype)  # frozen, they need no more digits
        torch.manual_seed(run.seed * 1000)  # which the adapter is drawn with
    with _ignoring_old_names(), patch_environment(accelerate_mixed_precision="no"):  # `bf16` alone says in which
        arguments = _make_arguments(run, source.config)
        beta, arguments.beta = arguments.beta, 0.0  # or TRL would load the starting policy by its name, as published
        trainer = _derive_trainer(base, source)(
            model=run.policy.model,
            peft_config=lora,
            reward_funcs=source.list_rewards,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [""]}),  # TRL wants one; `get_train_dataloader` does not read it
            processing_class=run.policy.tokenizer,
            callbacks=[_make_watch(source)],
        )
    trainer.beta = arguments.beta = beta
    if beta and not lora:
        start = copy.deepcopy(run.policy.model).requires_grad_(False)
        trainer.ref_model = trainer.accelerator.prepare_model(start, evaluation_mode=True)
    trainer.remove_callback(PrinterCallback)
    if lora:
        adapters.mark_adapted(run.policy.model)
    return trainer


def _derive_trainer(base: Any, source: StepSource) -> Any:
    """TRL's trainer class, given responses instead of writing them."""
    from trl.trainer.utils import shuffle_sequence_dict

    run, is_grpo = source.run, isinstance(source.config, GRPOConfig)

    class Handed(base):  # type: ignore[misc]
        rollouts: Sequence[Rollout] = ()

        def hand_over(self, rollouts: Sequence[Rollout], minibatches: int) -> None:
            """A new step begins with these, to be divided into so many minibatches."""
            self.rollouts = rollouts
            self.args.steps_per_generation = minibatches
            self._step = 0  # where TRL counts the minibatches until it generates again
            # Read without a gradient: by the policy, unless TRL takes its update's own scores for the old ones, and by
            # the starting policy.
            readers = (self.args.steps_per_generation * self.num_iterations > 1 or not is_grpo) + (self.beta > 0)
            run.budget.forward_tokens += readers * sum(len(r.pair) for r in rollouts)

        def get_train_dataloader(self) -> Any:
            return source

        def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(r.prompt_ids) for r in self.rollouts], None, {}

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            written = [list(r.ids) for r in self.rollouts]
            return (written, None) if is_grpo else written

        def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
            """In TRL a response without a reward has no advantage, but GRPO holds its tokens to the start: not here."""
            scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
            unpaid = torch.tensor([reward is None for reward in source.list_rewards(self.rollouts)])
            if is_grpo and unpaid.any():
                scored["tool_mask"] = torch.ones_like(scored["completion_mask"])
                scored["tool_mask"][unpaid] = 0
                scored["num_items_in_batch"] = (scored["completion_mask"] * scored["tool_mask"]).sum()
            return scored

        def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
            """As TRL's, but that no rollout is left out of minibatches that cannot all be of one size."""
            minibatches = self.args.steps_per_generation
            if self._step % (minibatches * self.num_iterations) == 0:
                scored = self._generate_and_score_completions(generation_batch)
                self._buffered_inputs = _divide(shuffle_sequence_dict(scored), minibatches)
            minibatch = _trim(self._buffered_inputs[self._step % minibatches])
            run.budget.trained_tokens += int(minibatch["prompt_mask"].sum() + minibatch["completion_mask"].sum())
            return minibatch

    return Handed


def _make_watch(source: StepSource) -> Any:
    """The callback that restores the optimiser, stops at what is not a number, and keeps what TRL logs."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
            if source.saved_optimizer is not None:
                optimizer.load_state_dict(source.saved_optimizer)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if not all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None):
                source.stop_diverged("a gradient is not a number")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:
                source.run.budget.optimizer_steps += 1
                for theirs, ours in LOGGED.items():
                    if logs.get(theirs) is not None:
                        source.learnt[ours].append(float(logs[theirs]))

    return Watch()


def _make_arguments(run: TrainingRun, config: TRLConfig) -> Any:
    """TRL's own configuration. Settings have TRL's names, but for those in `ours`."""
    import trl

    ours = ["rollouts_per_step", "max_new_tokens", "minibatch_size", "max_kl", "truncation", "eval_steps", "save_steps"]
    ours += ["lora_rank", "lora_alpha", "merge", "gradient_checkpointing"]
    per_step = config.rollouts_per_step // config.num_generations * config.num_generations
    return (trl.GRPOConfig if isinstance(config, GRPOConfig) else trl.RLOOConfig)(
        output_dir=str(run.directory),
        seed=run.seed,
        max_steps=10**9,  # the budget ends the run
        per_device_train_batch_size=per_step,
        steps_per_generation=1,  # until `hand_over` says it of each step
        max_completion_length=run.max_new_tokens,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        adam_beta2=ADAM["betas"][1],
        adam_epsilon=ADAM["eps"],
        weight_decay=ADAM["weight_decay"],
        use_cpu=run.policy.placement.kind == "cpu",
        bf16=run.policy.placement.dtype == "bfloat16",
        activation_checkpointing=config.gradient_checkpointing,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **{name: value for name, value in vars(config).items() if name not in ours},
    )


def _divide(scored: Mapping[str, Any], minibatches: int) -> list[dict[str, Any]]:
    """A step's rows in minibatches whose sizes differ by one at most; what is one number or nothing goes into each."""
    is_of_rows = {name: isinstance(value, torch.Tensor) and value.dim() > 0 for name, value in scored.items()}
    parts = {name: scored[name].tensor_split(minibatches) for name, divides in is_of_rows.items() if divides}
    return [{**scored, **{name: rows[i] for name, rows in parts.items()}} for i in range(minibatches)]


def _trim(inputs: dict[str, Any]) -> dict[str, Any]:
    """A minibatch without the columns that are padding in all of its rows."""
    prompt, response = (max(1, int(inputs[name].sum(1).max())) for name in ("prompt_mask", "completion_mask"))
    trimmed = dict(inputs)
    for name in ("prompt_ids", "prompt_mask"):
        trimmed[name] = inputs[name][:, -prompt:]
    for name in ("completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "ref_per_token_logps"):
        if name in inputs:
            trimmed[name] = inputs[name][:, :response]
    return trimmed


@torch.no_grad()
def _counts_padding(policy: Policy) -> bool:
    """Does padding in front of a prompt change what the model says after it, where only an attention mask is given?"""
    ids = policy.encode(["1 2 3"])[0]
    plain = torch.tensor([ids], device=policy.device)
    padded = torch.tensor([[policy.pad_id] * 8 + ids], device=policy.device)
    mask = torch.tensor([[0] * 8 + [1] * len(ids)], device=policy.device)
    alone = policy.model(plain).logits[0, -1].float()
    behind = policy.model(padded, attention_mask=mask).logits[0, -1].float()
    # A wrong position moves the logits by about their own spread; rounding, in any precision, by far less.
    return not torch.allclose(alone, behind, rtol=1e-2, atol=1e-2 * float(alone.std()))
