"""Score a step's rows, turn rewards into advantages, and update actor and critic: one step's learning.

Shapes: N rows of a step, B rows of a micro-batch, T response positions, right-padded. Sums run over a whole minibatch
before anything is divided by its token count, so that micro-batches change memory and speed and not the gradient.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from herl_bench.errors import DivergedError, HerlBenchError
from herl_bench.policy import adapters
from herl_bench.training import losses
from herl_bench.training.advantages import compare_in_groups, estimate_gae, explained_variance, place_rewards, whiten
from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import (
    Critic,
    Lora,
    MicroBatch,
    Packing,
    Pair,
    compute_logprobs,
    learning,
    pack_microbatches,
    read_ends,
    recompute_layers,
    watching_ends,
)
from herl_bench.training.rollouts import Row
from herl_bench.training.training_run import TrainingRun

# beta 2: a run takes hundreds of steps and the gradient's scale moves as the policy learns, so the second moment looks
# back some 20 steps and not Adam's usual 1000. eps: of PPO's published code (Huang et al. 2022, "The 37 implementation
# details of proximal policy optimization", detail 3); with 1e-8, a weight that hardly ever gets a gradient moves as far
# as any. No decay: what holds the weights is the KL to the starting policy.
ADAM: dict[str, Any] = {"betas": (0.9, 0.95), "eps": 1e-5, "weight_decay": 0.0}

# Before anything was learnt the ratio is 1 but for rounding, which in float32 stays far below this.
FARTHEST_FIRST_RATIO = 0.01


@dataclass(frozen=True)
class ScoredRows:
    """What the policy, the starting policy and the critic say of each row before the update; 0 on padding. behaviour:
    log-probs under the prompt and temperature that an off-policy row was sampled with. end: the policy's last hidden
    state at the response's last token, where a bonus critic learns from it; else D is 0."""

    old_NT: Tensor
    entropy_NT: Tensor
    reference_NT: Tensor
    value_NT: Tensor
    mask_NT: Tensor
    behaviour_NT: Tensor
    end_ND: Tensor


@dataclass(frozen=True)
class Targets:
    """What the rows are trained towards. on_N: is it on-policy? spread: the advantages' deviation before whitening."""

    advantage_NT: Tensor
    return_NT: Tensor
    on_N: Tensor
    on_mask_NT: Tensor
    spread: float


@dataclass
class PassSums:
    """Sums over a minibatch's tokens (`loss` and `value_loss` are its means), and over several minibatches."""

    loss: float = 0.0
    kl: float = 0.0
    off_kl: float = 0.0
    approx_kl: float = 0.0
    ratio: float = 0.0
    ratio_distance: float = 0.0
    clipped: float = 0.0
    value_loss: float = 0.0
    grad_norm: float = 0.0
    value_grad_norm: float = 0.0
    tokens: float = 0.0
    on_tokens: float = 0.0
    minibatches: int = 0

    def add(self, other: PassSums) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, vars(self).values()))


def compute_targets(rows: Sequence[Row], scored: ScoredRows, config: HeRLConfig) -> Targets:
    """GAE from the value critic, whitened over the step, or rewards relative to their prompt's group."""
    mask_NT, device = scored.mask_NT, scored.mask_NT.device
    on_N = torch.tensor([not row.off_policy for row in rows], device=device)
    on_mask_NT = mask_NT * on_N[:, None]
    reward_N = torch.tensor([row.reward for row in rows], device=device)
    rewards_NT = place_rewards(reward_N, mask_NT)
    advantage_NT, return_NT = estimate_gae(rewards_NT, scored.value_NT, mask_NT, config.gamma, config.lam)
    if config.advantage == "group":
        group_N = torch.tensor([row.group for row in rows], device=device)
        advantage_NT = compare_in_groups(reward_N, group_N, on_N)[:, None] * mask_NT
    spread = float(advantage_NT[on_mask_NT > 0].std(unbiased=False))
    if config.whiten_advantages and config.advantage == "critic":
        # By the on-policy rows' mean and deviation: how many revisions improved must not move what a draft is worth.
        advantage_NT = whiten(advantage_NT, mask_NT, on_mask_NT)
    return Targets(advantage_NT, return_NT, on_N, on_mask_NT, spread)


def describe_update(
    scored: ScoredRows, targets: Targets, sums: PassSums, *, has_critic: bool, has_reference: bool
) -> dict[str, float]:
    """What the minibatches of a step came to, under the names of `metrics.py`."""
    on_mask_NT, on_tokens, off_tokens = targets.on_mask_NT, max(1.0, sums.on_tokens), sums.tokens - sums.on_tokens
    row = {
        "off_policy_rows": int((~targets.on_N).sum()),
        "loss": sums.loss / sums.minibatches,
        **({"kl": sums.kl / on_tokens} if has_reference else {}),
        **({"kl_off_policy": sums.off_kl / off_tokens} if has_reference and off_tokens else {}),
        "approx_kl": sums.approx_kl / on_tokens,
        "entropy": float(losses.masked_mean(scored.entropy_NT, on_mask_NT)),
        "ratio": sums.ratio / on_tokens,
        "clip_fraction": sums.clipped / on_tokens,
        "grad_norm": sums.grad_norm / sums.minibatches,
        "advantage_std": targets.spread,
    }
    if has_critic:
        on_NT = on_mask_NT > 0
        row |= {
            "value_loss": sums.value_loss / sums.minibatches,
            "value_grad_norm": sums.value_grad_norm / sums.minibatches,
            "explained_variance": explained_variance(scored.value_NT[on_NT], targets.return_NT[on_NT]),
            "return_mean": float(losses.masked_mean(targets.return_NT, on_mask_NT)),
            "value_mean": float(losses.masked_mean(scored.value_NT, on_mask_NT)),
        }
    return row


def draw_minibatches(rows: int, minibatches: int, generator: torch.Generator) -> list[Tensor]:
    """Every row once, in a fresh order, in so many minibatches (as many as there are rows, where those are fewer),
    whose sizes differ by one at most. rows: at least one."""
    return list(torch.randperm(rows, generator=generator).tensor_split(min(minibatches, rows)))


class ActorCritic:
    """The policy that learns, the policy that it started from, the value critic, and their optimiser; with
    `lora_rank`, all of them one model with an adapter each."""

    def __init__(
        self, run: TrainingRun, config: HeRLConfig, accelerator: Any, packing: Packing, shuffling: torch.Generator
    ):
        self.config, self.budget, self.policy = config, run.budget, run.policy
        self.accelerator, self.packing, self.shuffling = accelerator, packing, shuffling
        model = self.policy.model.to(packing.device)
        if config.gradient_checkpointing:
            recompute_layers(model)
        self.lora = Lora(config.lora_rank, config.lora_alpha, run.seed) if config.lora_rank else None
        self.weights = list(model.parameters())
        if self.lora:
            # Frozen, the weights need no more digits than they are read with.
            adapters.round_weights(model, run.policy.placement.torch_dtype)
            self.weights = list(self.lora.add(model, adapters.POLICY).values())
        # The starting policy is the same model without its adapter, or a copy; where no loss asks for it, nothing.
        self.reference = None if config.kl_coef == 0 else model
        if self.reference and not self.lora:
            self.reference = copy.deepcopy(model).requires_grad_(False)
        self.critic: Any = Critic(model, lora=self.lora).to(packing.device) if config.advantage == "critic" else None
        # Dropout stays off in training too (it would make the first ratio differ from 1), hence eval() everywhere.
        for each in filter(None, (model, self.reference, self.critic)):
            each.eval()
        groups = [{"params": self.weights, "lr": config.learning_rate}]
        if self.critic:
            groups.append({"params": list(self.critic.parameters()), "lr": config.critic_learning_rate})
        # The optimiser alone: in `prepare` a model gets a forward pass of its own that its trunk does not have.
        self.optimizer = accelerator.prepare(torch.optim.AdamW(groups, **ADAM))

    # ---------------------------------------------------------------------------------------------------------- scoring
    @torch.no_grad()
    def score(self, rows: Sequence[Row]) -> ScoredRows:
        """Before the update; zeros where there is no critic, and where nobody asks for the starting policy."""
        return self.packing.fit([row.pair for row in rows], lambda: self._score(rows))

    def _score(self, rows: Sequence[Row]) -> ScoredRows:
        pairs = [row.pair for row in rows]
        widths = dict.fromkeys((field.name for field in fields(ScoredRows)), max(len(pair.response) for pair in pairs))
        widths["end_ND"] = self.policy.model.config.get_text_config().hidden_size * self.config.has_bonus_critic
        device = self.packing.device
        scored = ScoredRows(**{name: torch.zeros(len(rows), width, device=device) for name, width in widths.items()})
        for batch in pack_microbatches(pairs, self.packing):
            rows_B, t, mask_BT = batch.rows_B, batch.width, batch.mask_BT
            with self._watch_ends(batch) as ends:
                logp_BT, entropy_BT = compute_logprobs(self.policy.model, batch, with_entropy=True)
            assert entropy_BT is not None
            if ends:
                scored.end_ND[rows_B] = ends[0]
            scored.mask_NT[rows_B, :t] = mask_BT
            scored.old_NT[rows_B, :t] = logp_BT * mask_BT
            scored.entropy_NT[rows_B, :t] = entropy_BT * mask_BT
            if self.reference:
                with adapters.use(self.reference, None):
                    scored.reference_NT[rows_B, :t] = compute_logprobs(self.reference, batch)[0] * mask_BT
        read = (1 + bool(self.reference)) * sum(map(len, pairs))
        if self.critic:
            scored = replace(scored, value_NT=self._predict_values(self.critic, rows, scored.mask_NT))
            read += sum(map(len, pairs))
        off = [i for i, row in enumerate(rows) if row.off_policy]
        # awr has no ratio, and asks for no log-prob to divide by
        if off and (self.config.off_policy != "awr" or self.config.imitation_tokens == "guided"):
            sampled = [row.behaviour or row.pair for row in rows]
            for batch in pack_microbatches(sampled, self.packing, off):
                logp_BT, _ = compute_logprobs(self.policy.model, batch)
                scored.behaviour_NT[batch.rows_B, : batch.width] = logp_BT * batch.mask_BT
            read += sum(len(sampled[i]) for i in off)
        self.budget.forward_tokens += read
        return scored

    def _watch_ends(self, batch: MicroBatch) -> AbstractContextManager[list[Tensor]]:
        return watching_ends(self.policy.model, batch) if self.config.has_bonus_critic else nullcontext([])

    @torch.no_grad()
    def read_ends(self, pairs: Sequence[Pair]) -> Tensor:
        """`ScoredRows.end_ND` of these pairs, without the rest."""
        end_ND = torch.zeros(len(pairs), self.policy.model.config.get_text_config().hidden_size)

        def read() -> None:
            for batch in pack_microbatches(pairs, self.packing):
                end_ND[batch.rows_B.cpu()] = read_ends(self.policy.model, batch).cpu()

        self.packing.fit(pairs, read)
        self.budget.forward_tokens += sum(map(len, pairs))
        return end_ND

    @torch.no_grad()
    def _predict_values(self, critic: Critic, rows: Sequence[Row], like_NT: Tensor) -> Tensor:
        """What the critic says now; apart from the other scores, because it is asked again after its warm-up."""
        values_NT = torch.zeros_like(like_NT)
        for batch in pack_microbatches([row.pair for row in rows], self.packing):
            values_NT[batch.rows_B, : batch.width] = critic(batch) * batch.mask_BT
        return values_NT

    # --------------------------------------------------------------------------------------------------------- learning
    def warm_up(self, rows: Sequence[Row], scored: ScoredRows, minibatches: int) -> ScoredRows:
        """Passes of the value critic alone over the first step's rows, so that the policy's first advantages are not a
        critic's that knows nothing; gives the scores with the new values. minibatches: per pass."""
        pairs = [row.pair for row in rows]
        for _ in range(self.config.critic_warmup_epochs if self.critic else 0):
            targets = compute_targets(rows, scored, self.config)
            for chosen in draw_minibatches(len(rows), minibatches, self.shuffling):
                self.optimizer.zero_grad()
                # No clip on the value: it starts at 0 and has all the way to go.
                self._accumulate_critic(rows, chosen, scored, targets, math.inf)
                self._clip_gradient(self.critic.parameters())
                self.optimizer.step()
            asked = partial(self._predict_values, self.critic, rows, scored.mask_NT)
            scored = replace(scored, value_NT=self.packing.fit(pairs, asked))
            self.budget.forward_tokens += sum(map(len, pairs))
        return scored

    def update(
        self, rows: Sequence[Row], scored: ScoredRows, targets: Targets, step: int, minibatches: int
    ) -> dict[str, float]:
        """`num_ppo_epochs` over the rows in so many minibatches each, fewer once the policy moved too far. Raises
        `DivergedError`: the reason."""
        config, sums, first_ratio, stopped = self.config, PassSums(), 0.0, False
        epochs = (draw_minibatches(len(rows), minibatches, self.shuffling) for _ in range(config.num_ppo_epochs))
        for chosen in chain.from_iterable(epochs):
            self.optimizer.zero_grad()
            moved = self._accumulate_policy(rows, chosen, scored, targets)
            if self.critic:
                moved.value_loss = self._accumulate_critic(rows, chosen, scored, targets, config.cliprange_value)
            if not moved.is_finite:
                raise DivergedError("the loss is not a number")
            if sums.minibatches == 0:
                first_ratio = moved.ratio_distance
                self._check_first_ratio(first_ratio, step)
            self._take_step(moved)
            sums.add(moved)
            if config.target_kl is not None and moved.approx_kl / max(1.0, moved.on_tokens) > config.target_kl:
                stopped = True
                break
        has = {"has_critic": self.critic is not None, "has_reference": self.reference is not None}
        row = describe_update(scored, targets, sums, **has)
        if row.get("kl", 0.0) > config.max_kl:
            raise DivergedError(
                f"the KL to the starting policy is {row['kl']:.2f} nats per token (max_kl={config.max_kl})"
            )
        return row | {"ratio_first": first_ratio, "early_stop": float(stopped), "learning_rate": config.learning_rate}

    def _take_step(self, moved: PassSums) -> None:
        """One optimiser step on the gradients that were accumulated; their norms go into `moved`."""
        moved.grad_norm = self._clip_gradient(self.weights)
        if self.critic:
            moved.value_grad_norm = self._clip_gradient(self.critic.parameters())
        if not moved.is_finite:
            raise DivergedError("a gradient is not a number")
        self.optimizer.step()
        self.budget.optimizer_steps += 1

    def _clip_gradient(self, weights: Iterable[nn.Parameter]) -> float:
        # Policy and critic apart: the scale of one's gradient says nothing about the other's.
        return float(self.accelerator.clip_grad_norm_(weights, self.config.max_grad_norm))

    def _check_first_ratio(self, distance: float, step: int) -> None:
        """Before anything was learnt, new and old probabilities are the same; lower precisions than float32 round too
        much to tell."""
        if not self.packing.bfloat16 and distance > FARTHEST_FIRST_RATIO:
            raise HerlBenchError(
                f"step {step}: the ratio of the first minibatch is off 1 by {distance:.3g}: {self.policy.name} scores"
                " the same tokens differently from one batch to the next (is a dropout or a noise still on?), so PPO's"
                " ratio would mean nothing"
            )

    def _accumulate_policy(self, rows: Sequence[Row], chosen: Tensor, scored: ScoredRows, targets: Targets) -> PassSums:
        """Accumulate the policy's gradient over one minibatch: the mean over its tokens, whatever the micro-batches."""
        pairs = [rows[i].pair for i in chosen.tolist()]
        with learning(self.policy.model):
            work = partial(self._add_policy_gradient, rows, chosen, scored, targets)
            sums = self.packing.fit(pairs, work, partial(_drop_gradient, self.weights))
        self.budget.trained_tokens += sum(map(len, pairs))
        return sums

    def _add_policy_gradient(
        self, rows: Sequence[Row], chosen: Tensor, scored: ScoredRows, targets: Targets
    ) -> PassSums:
        tokens, on_tokens = float(scored.mask_NT[chosen].sum()), float(targets.on_mask_NT[chosen].sum())
        pairs, sums = [row.pair for row in rows], PassSums(tokens=tokens, on_tokens=on_tokens, minibatches=1)
        total = scored.mask_NT[chosen].sum().clamp(min=1)
        for batch in pack_microbatches(pairs, self.packing, chosen.tolist()):
            t, mask_BT = batch.width, batch.mask_BT
            logp_BT, entropy_BT = compute_logprobs(self.policy.model, batch, with_entropy=self.config.entropy_coef > 0)
            logp_BT = logp_BT * mask_BT
            loss_BT, clipped_BT = self._compute_loss(rows, batch, logp_BT, scored, targets)
            on_mask_BT = targets.on_mask_NT[batch.rows_B, :t]
            if self.reference:
                kl_BT = losses.bounded_kl_k3(logp_BT, scored.reference_NT[batch.rows_B, :t])
                loss_BT = loss_BT + self.config.kl_coef * kl_BT
                told_BT = kl_BT.detach().clamp(max=losses.MOST_KL)
                sums.kl += float(losses.masked_sum(told_BT, on_mask_BT))
                sums.off_kl += float(losses.masked_sum(told_BT, mask_BT - on_mask_BT))
            if entropy_BT is not None:
                loss_BT = loss_BT - self.config.entropy_coef * entropy_BT
            loss = losses.masked_sum(loss_BT, mask_BT) / total
            self.accelerator.backward(loss)
            with torch.no_grad():
                old_BT = scored.old_NT[batch.rows_B, :t]
                ratio_BT = (logp_BT - old_BT).exp()
                sums.loss += float(loss.detach())
                # Old against new: the tokens are the old policy's, so that k3 estimates KL(old ‖ new).
                sums.approx_kl += float(losses.masked_sum(losses.kl_k3(old_BT, logp_BT), on_mask_BT))
                sums.ratio += float(losses.masked_sum(ratio_BT, on_mask_BT))
                sums.clipped += float(losses.masked_sum(clipped_BT, on_mask_BT))
                sums.ratio_distance = max(sums.ratio_distance, float(((ratio_BT - 1).abs() * on_mask_BT).max()))
        return sums

    def _compute_loss(
        self, rows: Sequence[Row], batch: MicroBatch, logp_BT: Tensor, scored: ScoredRows, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """(loss_BT, was_clipped_BT): the clipped surrogate on what was sampled as it stands; what the configuration
        says on revisions under the plain prompt (off-policy) and in their own (hindsight)."""
        config, rows_B, t = self.config, batch.rows_B, batch.width
        old_BT, behaviour_BT = scored.old_NT[rows_B, :t], scored.behaviour_NT[rows_B, :t]
        advantage_BT = targets.advantage_NT[rows_B, :t]
        low = config.cliprange
        high = low if config.cliprange_high is None else config.cliprange_high
        on_loss_BT, clipped_BT = losses.ppo_loss(logp_BT, old_BT, advantage_BT, low, high, config.dual_clip)
        if config.off_policy == "awr":
            off_loss_BT = losses.awr_loss(logp_BT, advantage_BT)
        elif config.off_policy == "shaped":
            off_loss_BT = losses.shaped_loss(logp_BT, behaviour_BT, advantage_BT, config.shaping_gamma)
        else:
            off_loss_BT, _ = losses.ppo_loss(logp_BT, behaviour_BT, advantage_BT, low, high)
        off_loss_BT = off_loss_BT * self._weigh_imitation(old_BT, behaviour_BT)
        if config.hindsight_loss == "shaped":
            is_revision_B = torch.tensor([rows[i].revision for i in rows_B.tolist()], device=rows_B.device)
            shaped_BT = losses.shaped_loss(logp_BT, old_BT, advantage_BT, config.shaping_gamma)
            on_loss_BT = torch.where(is_revision_B[:, None], shaped_BT, on_loss_BT)
        return torch.where(targets.on_N[rows_B][:, None], on_loss_BT, off_loss_BT), clipped_BT

    def _weigh_imitation(self, old_BT: Tensor, behaviour_BT: Tensor) -> Tensor | float:
        """Of an off-policy row's loss, per token or of all alike. What guidance did not make likelier is no lesson of
        its: with `guided` only the difference is learnt (after RLCSD, arXiv 2606.11709, which contrasts two kinds of
        guidance)."""
        config = self.config
        coef = config.imitation_coef
        if config.imitation_end:
            coef *= max(0.0, 1 - self.budget.spent / (config.imitation_end * self.budget.tokens))
        return coef if config.imitation_tokens == "all" else coef * (behaviour_BT - old_BT).clamp(0, 1)

    def _accumulate_critic(
        self, rows: Sequence[Row], chosen: Tensor, scored: ScoredRows, targets: Targets, clip: float
    ) -> float:
        """Accumulate the value critic's gradient over a minibatch; gives its loss."""
        # On-policy rows only: the value of a prompt is what the policy gets there of its own.
        kept = [i for i in chosen.tolist() if not rows[i].off_policy]
        pairs = [rows[i].pair for i in kept]
        total = targets.on_mask_NT[chosen].sum().clamp(min=1)
        with self.critic.learning():
            work = partial(self._add_critic_gradient, rows, kept, scored, targets, clip, total)
            summed = self.packing.fit(pairs, work, partial(_drop_gradient, list(self.critic.parameters())))
        self.budget.trained_tokens += sum(map(len, pairs))
        return summed

    def _add_critic_gradient(
        self, rows: Sequence[Row], kept: Sequence[int], scored: ScoredRows, targets: Targets, clip: float, total: Tensor
    ) -> float:
        summed = 0.0
        for batch in pack_microbatches([row.pair for row in rows], self.packing, kept):
            rows_B, t = batch.rows_B, batch.width
            old_BT, return_BT = scored.value_NT[rows_B, :t], targets.return_NT[rows_B, :t]
            loss_BT = losses.value_loss(self.critic(batch), old_BT, return_BT, clip)
            loss = losses.masked_sum(loss_BT, targets.on_mask_NT[rows_B, :t]) / total
            self.accelerator.backward(loss)
            summed += float(loss.detach())
        return summed

    # ------------------------------------------------------------------------------------------------------- checkpoint
    def state_dict(self) -> dict[str, Any]:
        return {
            "policy": adapters.collect_trained(self.policy.model),
            "critic": self.critic.state_dict() if self.critic else None,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        adapters.restore_trained(self.policy.model, state["policy"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])


def _drop_gradient(weights: Iterable[nn.Parameter]) -> None:
    for weight in weights:
        weight.grad = None
