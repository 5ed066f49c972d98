"""What can be set on the built-in methods. Standard library only: `herl-bench ls` lists methods without torch.

Units: a *rollout* is one sampled response (drafts and revisions alike); a *step* is one iteration of sample, judge,
learn; a token count is of generated tokens. Each field's `help` is its documentation; what is a `study` is for finding
out what a part brings, and may be left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from herl_bench.errors import UsageError
from herl_bench.hindsight import choose_form
from herl_bench.settings import setting
from herl_bench.training.rates import AUTO


def study(default: Any, help: str, **limits: Any) -> Any:
    """A setting that exists to find out what a part brings: documented apart from those that a user wants. It stands
    where a run's config.yaml writes it."""
    return setting(default, help, study=True, **limits)


MINIBATCHES = (
    "most rollouts per optimiser step: a step of r rollouts, revisions included, is divided into r / minibatch_size"
    " minibatches, rounded up and as equal as can be, whatever the number of training rows"
)


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017) on whole responses, with a value critic of its own."""

    rollouts_per_step: int = setting(32, "responses sampled per step, revisions included", ge=2)
    num_generations: int = setting(1, "responses per prompt", ge=1)
    temperature: float = setting(1.0, "sampling temperature; log-probs are scored at it", gt=0)
    max_new_tokens: int | None = setting(None, "longest response; None takes the task's", ge=1)
    learning_rate: float = setting(
        AUTO, "of the policy (AdamW, eps 1e-5); auto: what suits the model's size", auto="policy", ge=0
    )
    critic_learning_rate: float = setting(
        AUTO, "of the value critic; auto: what suits the model's size", auto="critic", ge=0
    )
    num_ppo_epochs: int = setting(1, "passes over each step's rollouts", ge=1)
    minibatch_size: int = setting(32, MINIBATCHES, ge=1)
    microbatch_tokens: int | None = setting(
        None,
        "tokens (prompt and response, padding included) per forward pass; changes memory and speed, not the gradient;"
        " None: 2048 on a CPU, 16384 on a GPU",
        ge=1,
    )
    cliprange: float = setting(0.2, "PPO's clip on the ratio, below (and above unless cliprange_high is set)", gt=0)
    cliprange_high: float | None = setting(None, "clip-higher (DAPO): the clip above", gt=0)
    cliprange_value: float = setting(0.2, "clip on the value's move", gt=0)
    dual_clip: float | None = setting(
        None, "dual-clip PPO's bound on the loss where the advantage is negative (for example 3)", gt=1
    )
    gamma: float = setting(1.0, "discount", gt=0, le=1)
    lam: float = setting(1.0, "GAE's lambda", ge=0, le=1)
    whiten_advantages: bool = setting(True, "zero mean, unit variance over the step's response tokens")
    kl_coef: float = setting(
        0.02, "weight of the KL to the starting policy in the loss (k3 estimator); 0: that policy is not kept", ge=0
    )
    target_kl: float | None = setting(
        0.1, "stop a step's epochs once a minibatch has moved this far (approximate KL per token)", gt=0
    )
    max_kl: float = setting(
        5.0, "mean KL per token to the starting policy at which the run stops as diverged (with kl_coef above 0)", gt=0
    )
    entropy_coef: float = setting(0.0, "weight of an entropy bonus in the loss", ge=0)
    max_grad_norm: float = setting(1.0, "gradient clip", gt=0)
    critic_warmup_epochs: int = setting(1, "passes of the value critic alone over the first step's rollouts", ge=0)
    truncation: Literal["penalise", "mask"] = setting(
        "penalise", "a response cut off by max_new_tokens has reward 0 in all of training, or none: it trains nothing"
    )
    logits_chunk: int | None = setting(
        None,
        "response positions that are scored over the vocabulary at once; changes memory, not the numbers; None: as many"
        " as make 2^25 logits, 128 MiB",
        ge=1,
    )
    lora_rank: int = setting(
        0, "train low-rank adapters of this rank on all linear layers, not the weights; 0: the weights", ge=0
    )
    lora_alpha: float = setting(32.0, "an adapter's output is scaled by lora_alpha / lora_rank", gt=0)
    merge: bool = setting(False, "with lora_rank: also save the policy as an ordinary checkpoint, in final/merged")
    gradient_checkpointing: bool = setting(
        False, "keep one state per layer for the backward pass and compute the rest again: less memory, a third slower"
    )
    eval_steps: int = setting(0, "also evaluate every so many steps; 0: only before and after", ge=0)
    save_steps: int = setting(20, "checkpoint every so many steps", ge=1)


@dataclass(frozen=True)
class HeRLConfig(PPOConfig):
    """PPO plus hindsight: guided revisions that also train the plain policy, and a bonus for responses with potential
    to improve."""

    removed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("bonus_learning_rate", "bonus_epochs"), "the bonus critic is fitted in closed form since, and has none"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "article": {},
        # The published code (sikelifei/HeRL) as far as it is a matter of settings. Learning rate, sizes and the depth
        # of the guidance stay.
        "paper": {
            "num_generations": 8,
            "advantage": "group",
            "revise": "best_ties",
            "revise_fraction": 0.35,
            "revise_epsilon": 0.0,
            "revision_temperature": 1.0,
            "replace_top_n": 1,
            "train_context": "hindsight",
            "hindsight_loss": "shaped",
            "shaping_gamma": 1.0,
            "bonus": "measured",
            "bonus_signed": True,
            "bonus_coef": 0.05,
            "guide_prob": 0.0,
        },
    }

    preset: Literal["article", "paper"] = setting(
        "article",
        "the defaults below, or those of the article's published code; a setting that is given wins over its preset",
    )
    hindsight: bool = study(
        True, "revise responses under guidance; without it, and with bonus=none, this is PPO to the bit"
    )
    hindsight_threshold: float = setting(1.0, "responses with a reward under this may be revised", gt=0, le=1)
    revise: Literal["best_of_group", "best_ties", "all", "critic"] = setting(
        "all",
        "which failures: the best one of each prompt's group, all that tie for the best of a group without a success,"
        " any, or those for which the bonus critic predicts most",
    )
    revise_fraction: float = setting(
        0.35,
        "largest share of a step's rollouts that are revisions; auto: what they are measured to bring against trying"
        " again without guidance, from 1/16 to 2/5 (`revise_share` in metrics.jsonl)",
        auto="share",
        ge=0,
        lt=1,
    )
    revise_epsilon: float = setting(
        0.1,
        "share of the revisions chosen at random among all failures, so that the critic's data is not biased",
        ge=0,
        le=1,
    )
    revise_form: Literal["auto", "prompt", "with_draft", "without_draft", "cut_draft"] = setting(
        "auto",
        "how a revision is asked for: a text that is continued, or, for models with a chat template, a conversation"
        " about the draft, without the draft, or about the draft up to its first error (where a check says where);"
        " auto: without_draft for models with a chat template, else prompt",
    )
    revisions_per_draft: int = setting(
        1,
        "revisions of each draft that is chosen; the improvement that the bonus is about is their mean, of less chance."
        " Together they fill what revise_fraction leaves to revisions, so fewer drafts are revised",
        ge=1,
    )
    revision_temperature: float = setting(
        0.7, "sampling temperature of revisions; a cooler sample than a draft is right more often by itself", gt=0
    )
    hint_level: Literal["criteria", "evidence", "reference"] = setting(
        "reference", "how deep guidance goes; never the final answer"
    )
    guidance: Literal["own", "shuffled", "again", "none"] = study(
        "own",
        "whose guidance a revision gets: its draft's, or, as controls, another problem's; none but \"Try again.\""
        " (`again`); or none at all: failures are tried again under the plain prompt, which is PPO with HeRL's extra"
        " samples (set bonus=none too)",
    )
    replace_top_n: int = study(
        0,
        "revisions at least as good as their group's best that take the place of a random response of it; 0: all stand"
        " beside",
        ge=0,
    )
    advantage: Literal["critic", "group"] = study(
        "critic",
        "relative to the value critic (GAE), or to the mean and deviation of the prompt's group (GRPO), without a"
        " critic",
    )
    train_context: Literal["original", "hindsight", "both"] = study(
        "both", "improved revisions train the plain prompt, all revisions the prompt they were written in, or both"
    )
    off_policy: Literal["awr", "shaped", "clipped_is"] = study("awr", "the loss of revisions under the plain prompt")
    imitation_threshold: float = study(
        0.0, "least reward of an improved revision that trains the plain prompt; 1: only what is right", ge=0, le=1
    )
    imitation_coef: float = study(1.0, "weight of that loss", ge=0)
    imitation_end: float = study(
        0.0,
        "share of the budget in which that weight falls to nothing, in a straight line from the start; 0: it stays",
        ge=0,
        le=1,
    )
    imitation_tokens: Literal["all", "guided"] = study(
        "all",
        "which tokens of a revision are learnt under the plain prompt: all, or each by how much likelier guidance made"
        " it, in nats, at most 1",
    )
    hindsight_loss: Literal["ppo", "shaped"] = study(
        "ppo", "the loss of revisions in the prompt that they were written in"
    )
    shaping_gamma: float = study(0.1, "gamma of the shaped ratio x / (x + gamma)", gt=0)
    bonus: Literal["critic", "measured", "none", "constant", "shuffled"] = setting(
        "critic",
        "who says how far a response could improve; as controls, the mean improvement so far, or a critic whose targets"
        " are shuffled",
    )
    bonus_signed: bool = study(
        False, "a measured bonus may be negative: a revision that came out worse counts against its draft"
    )
    bonus_gate: bool = study(
        True, "use the critic's bonus only while it beats its baselines; false for studies of what the gate keeps out"
    )
    bonus_coef: float = setting(0.05, "alpha: weight of the bonus in the reward", ge=0)
    bonus_window: int = setting(
        18, "steps that the bonus critic and its baselines are fitted on, and that the gate is judged by", ge=1
    )
    guide_prob: float = setting(0.0, "chance that a prompt carries guidance out of the buffer", ge=0, le=1)
    guide_from: Literal["both", "same", "similar"] = study(
        "both",
        "guidance that was given for the same prompt, for similar ones (BM25), or for similar ones where the same has"
        " none",
    )
    buffer_size: int = setting(2000, "lessons kept", ge=1)

    @property
    def has_bonus_critic(self) -> bool:
        return self.hindsight and self.bonus in ("critic", "shuffled")

    def __post_init__(self) -> None:
        if self.hindsight and self.revise == "critic" and not self.has_bonus_critic:
            raise UsageError(
                f"revise=critic needs a critic to ask, but bonus={self.bonus}: set bonus=critic, or another way to"
                " revise"
            )


def suit_to_model(config: Any, chat: bool) -> Any:
    """HeRL's configuration with the form in which revisions are asked for; any other configuration as it is.

    chat: has the policy a chat template? Raises `UsageError` for a conversation with a policy that has none.
    """
    if not isinstance(config, HeRLConfig):
        return config
    return replace(config, revise_form=choose_form(config.revise_form, chat))


HINDSIGHT_OFF: Mapping[str, Any] = {"hindsight": False, "bonus": "none", "guide_prob": 0.0}
"""What turns HeRL into PPO."""


@dataclass(frozen=True)
class TRLConfig:
    """What the methods that TRL trains share. Names that PPO has mean the same; the others are TRL's own."""

    rollouts_per_step: int = setting(32, "responses sampled per step", ge=2)
    num_generations: int = setting(8, "responses per prompt, whose rewards are compared with each other", ge=2)
    temperature: float = setting(1.0, "sampling temperature; log-probs are scored at it", gt=0)
    max_new_tokens: int | None = setting(None, "longest response; None takes the task's", ge=1)
    learning_rate: float = setting(
        AUTO, "of the policy (AdamW, eps 1e-5); auto: what suits the model's size", auto="policy", ge=0
    )
    minibatch_size: int = setting(32, MINIBATCHES, ge=1)
    num_iterations: int = setting(1, "passes over each step's rollouts", ge=1)
    epsilon: float = setting(0.2, "clip on the ratio, below (and above unless epsilon_high is set)", gt=0)
    epsilon_high: float | None = setting(None, "clip-higher (DAPO): the clip above", gt=0)
    max_kl: float = setting(
        5.0, "mean KL per token to the starting policy at which the run stops as diverged (with beta above 0)", gt=0
    )
    max_grad_norm: float = setting(1.0, "gradient clip", gt=0)
    truncation: Literal["penalise", "mask"] = setting(
        "penalise",
        "a response cut off by max_new_tokens gets reward 0, or none: it is left out of its group and gets advantage 0",
    )
    lora_rank: int = setting(
        0, "train low-rank adapters of this rank on all linear layers, not the weights; 0: the weights", ge=0
    )
    lora_alpha: float = setting(32.0, "an adapter's output is scaled by lora_alpha / lora_rank", gt=0)
    merge: bool = setting(False, "with lora_rank: also save the policy as an ordinary checkpoint, in final/merged")
    gradient_checkpointing: bool = setting(
        False, "keep one state per layer for the backward pass and compute the rest again: less memory, a third slower"
    )
    eval_steps: int = setting(0, "also evaluate every so many steps; 0: only before and after", ge=0)
    save_steps: int = setting(20, "checkpoint every so many steps", ge=1)


@dataclass(frozen=True)
class GRPOConfig(TRLConfig):
    """Group-relative policy optimisation (Shao et al. 2024) by TRL's GRPOTrainer."""

    beta: float = setting(0.02, "weight of the KL to the starting policy in the loss, as PPO's kl_coef", ge=0)
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"] = setting(
        "dapo", "how token losses are averaged, or what they are; dapo is the mean over all tokens, as PPO's"
    )
    scale_rewards: Literal["group", "batch", "none"] = setting(
        "batch", "what the group's advantages are divided by: its own deviation, the whole step's, or nothing"
    )
    importance_sampling_level: Literal["token", "sequence"] = setting(
        "token", "a ratio per token, or one per response (GSPO)"
    )
    entropy_coef: float = setting(0.0, "weight of an entropy bonus in the loss", ge=0)


@dataclass(frozen=True)
class RLOOConfig(TRLConfig):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024) by TRL's RLOOTrainer: one ratio and one advantage
    per response."""

    beta: float = setting(0.01, "weight of the response's whole KL to the starting policy in its reward", ge=0)
    normalize_advantages: bool = setting(True, "zero mean, unit variance over the step")
