"""One actor-critic trainer for PPO and HeRL: sample, judge, hindsight, bonus, advantage, loss, step. With hindsight
switched off, HeRL is PPO.

Departures from the article and from the published code are listed in `herl.py`. Departures from common PPO for language
models: the KL to the starting policy is a term of the loss (k3), not of the reward; the value critic is a network of
its own, trained on on-policy rows only; advantages of off-policy rows are whitened with the on-policy rows' mean and
deviation.

Left out: more than one process (the run refuses), and sampling on another device than training.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from herl_bench.errors import DivergedError, HerlBenchError, UsageError
from herl_bench.evaluate.scores import mean
from herl_bench.hindsight import HindsightBuffer
from herl_bench.train import herl, losses
from herl_bench.train.bonus import BonusCritic, Measurement, shuffled
from herl_bench.train.config import HINDSIGHT_OFF, HeRLConfig
from herl_bench.train.forward import Critic, Pair, logprobs, microbatches
from herl_bench.train.judging import Judging
from herl_bench.train.metrics import checked
from herl_bench.train.rollouts import Rollout, Row, training_rows
from herl_bench.train.sampling import FEWEST_ROLLOUTS, Clock, described, judged, mean_metric, sample
from herl_bench.types import Example

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun


def train(run: TrainingRun) -> None:
    """Spend the run's budget. Raises `DivergedError` on NaN or exploding KL, after saving what there was."""
    learner = Learner(run)
    state = run.load_checkpoint()
    if state is not None:
        learner.load_state_dict(state)
    while not run.interrupted:
        plan = learner.plan()
        if plan is None:
            break
        learner.step(*plan)
        if learner.steps % learner.config.save_steps == 0:
            run.save_checkpoint(learner.steps, learner.state_dict())
    run.save_checkpoint(learner.steps, learner.state_dict())
    run.critics = {"critic": learner.critic} if learner.config.advantage == "critic" else {}
    if learner.bonus:
        run.critics |= {"bonus_critic": learner.bonus.model}


class Learner:
    """The models, optimisers and random states of a run, and what one step does with them."""

    def __init__(self, run: TrainingRun):
        from accelerate import Accelerator

        self.run = run
        given = run.config
        # PPO's configuration is HeRL's with hindsight off, so that the code below knows one kind only.
        self.config: HeRLConfig = (
            given if isinstance(given, HeRLConfig) else HeRLConfig(**{**vars(given), **HINDSIGHT_OFF})
        )
        self.accelerator = Accelerator(
            log_with=run.report_to or None, project_dir=str(run.directory), step_scheduler_with_optimizer=False
        )
        if self.accelerator.num_processes > 1:
            raise UsageError(
                f"training runs in one process, not in {self.accelerator.num_processes}: start it without a launcher"
            )
        if run.report_to:
            self.accelerator.init_trackers(
                "logs", config={k: v for k, v in vars(self.config).items() if isinstance(v, int | float | str)}
            )
        self.device = self.accelerator.device
        # Short passes suit a processor: rows of like length share one, with little padding, and what they hold stays in
        # the cache.
        self.microbatch_tokens = self.config.microbatch_tokens or (2048 if self.device.type == "cpu" else 16384)
        self.policy = run.policy
        self.policy.model.to(self.device)
        self.reference = copy.deepcopy(self.policy.model).requires_grad_(False)
        self.critic = Critic(self.policy.model).to(self.device)
        self.pad = int(self.policy.tokenizer.pad_token_id)
        # Dropout stays off in training too (it would make the first ratio differ from 1), hence eval() everywhere.
        for model in (self.policy.model, self.reference, self.critic):
            model.eval()
        groups = [
            {"params": list(self.policy.model.parameters()), "lr": self.config.learning_rate},
            {"params": list(self.critic.parameters()), "lr": self.config.critic_learning_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0)
        self.policy.model, self.critic, self.optimizer = self.accelerator.prepare(
            self.policy.model, self.critic, self.optimizer
        )
        self.bonus = (
            BonusCritic(
                self.policy.model,
                self.config.bonus_learning_rate,
                self.config.bonus_window,
                self.config.bonus_epochs,
                self.microbatch_tokens,
                self.pad,
                self.device,
            )
            if self.config.hindsight and self.config.bonus in ("critic", "shuffled")
            else None
        )
        self.improvements: list[tuple[int, float]] = []  # (step, measured improvement) of the last `bonus_window` steps
        self.buffer = HindsightBuffer(self.config.buffer_size)
        self.judging = Judging(run.rubric, run.metrics, run.sandbox)
        # One random stream per purpose: what hindsight draws must not move what PPO draws.
        self.sampling, self.revising, self.shuffling, self.judging_bonus = (
            torch.Generator(self.device if purpose < 2 else "cpu").manual_seed(run.seed * 1000 + purpose)
            for purpose in range(4)
        )
        self.choosing = Random(run.seed)
        self.steps = 0
        self.position = 0
        self._stream: Iterator[Example] | None = None
        self.started = time.monotonic()

    # --------------------------------------------------------------------------------------------------------- one step
    def plan(self) -> tuple[int, int] | None:
        """(prompts, revision slots) of the next step; None when the budget is spent. The last step is made smaller to
        fit."""
        config, budget = self.config, self.run.budget
        rollouts = budget.affordable(config.rollouts_per_step, self.run.max_new_tokens)
        if self.steps and rollouts < min(FEWEST_ROLLOUTS, config.rollouts_per_step):
            return None
        slots = int(rollouts * config.revise_fraction) if config.hindsight else 0
        prompts = (rollouts - slots) // config.num_generations
        return (prompts, slots) if prompts else None

    def step(self, prompts: int, slots: int) -> None:
        run, config, clock = self.run, self.config, Clock(self.started)

        examples = [e for e in self._next_examples(prompts) for _ in range(config.num_generations)]
        with clock("sample"):
            assigned = herl.assign_drafts(examples, self.buffer, run.template, config, self.choosing)
            drafts = sample(run, self.judging, assigned, config.temperature, self.sampling)
        with clock("judge"):
            drafts = judged(run, self.judging, drafts)

        predicted = [0.0] * len(drafts)
        with clock("bonus"):
            if self.bonus and (self.bonus.open or not config.bonus_gate or config.revise == "critic"):
                predicted = self.bonus.predict([r.pair for r in drafts], [r.reward or 0.0 for r in drafts])
                run.budget.forward_tokens += sum(len(r.pair) for r in drafts)

        revisions: list[Rollout] = []
        if config.hindsight:
            with clock("hindsight"):
                chosen = herl.choose(drafts, slots, config, predicted, self.choosing)
                assigned = herl.assign_revisions(drafts, chosen, run.template, run.rubric, config)
                temperature = config.temperature if config.guidance == "none" else config.revision_temperature
                revisions = sample(run, self.judging, assigned, temperature, self.revising, kind="revision")
                revisions = judged(run, self.judging, revisions)
                self.buffer.add(herl.lessons(drafts, revisions))

        with clock("bonus"):
            drafts = self._with_bonus(drafts, revisions, predicted)

        rollouts = [*drafts, *revisions]
        taught = (
            herl.replaced(drafts, revisions, config.replace_top_n, self.choosing) if config.replace_top_n else rollouts
        )
        rows = training_rows(taught, config)
        learnt: dict[str, Any] = {}
        if any(not row.off_policy for row in rows):
            with clock("score"):
                scored = self._score(rows)
            with clock("learn"):
                learnt = self._learn(rows, scored)

        self.steps += 1
        self._log(rollouts, drafts, revisions, rows, learnt, clock)

    def _next_examples(self, count: int) -> list[Example]:
        if self._stream is None:
            self._stream = self.run.data.train(self.position)
        self.position += count
        return [next(self._stream) for _ in range(count)]

    def _with_bonus(
        self, drafts: Sequence[Rollout], revisions: Sequence[Rollout], predicted: Sequence[float]
    ) -> list[Rollout]:
        """Drafts with their bonus: measured where revised, or predicted for all while the gate is open. The critic
        learns from this step."""
        config = self.config
        measured = {r.draft: r for r in revisions if r.draft is not None and r.improvement is not None}
        if self.bonus:
            news = [
                Measurement(
                    drafts[i].example.id,
                    drafts[i].prompt_ids,
                    drafts[i].ids,
                    r.baseline or 0.0,
                    r.improvement or 0.0,
                    r.propensity or 1.0,
                )
                for i, r in measured.items()
                if i is not None
            ]
            used = self.bonus.open or not config.bonus_gate
            if config.bonus == "shuffled":
                news = shuffled(news, self.steps)
            self.run.budget.forward_tokens += sum(len(n.prompt) + len(n.response) for n in news)
            self.run.budget.trained_tokens += self.bonus.observe(self.steps + 1, news, self.judging_bonus)
            return [
                replace(d, bonus=b) if used and d.reward is not None else d
                for d, b in zip(drafts, predicted, strict=True)
            ]
        if config.hindsight and config.bonus == "measured":
            lowest = -1.0 if config.bonus_signed else 0.0
            return [
                replace(d, bonus=max(lowest, measured[i].improvement or 0.0)) if i in measured else d
                for i, d in enumerate(drafts)
            ]
        if config.hindsight and config.bonus == "constant":
            usual = max(0.0, mean(delta for _, delta in self.improvements) or 0.0)
            recent = self.steps + 1 - config.bonus_window
            self.improvements = [row for row in self.improvements if row[0] > recent]
            self.improvements += [(self.steps + 1, r.improvement or 0.0) for r in measured.values()]
            return [replace(d, bonus=min(usual, 1.0 - d.reward)) if d.reward is not None else d for d in drafts]
        return list(drafts)

    # --------------------------------------------------------------------------------------------------------- learning
    @torch.no_grad()
    def _score(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """What the policy, the starting policy and the critic say of each row before the update; (row, response
        position), 0 on padding."""
        width = max(len(row.pair.response) for row in rows)
        scored = {
            name: torch.zeros(len(rows), width, device=self.device)
            for name in ("old", "entropy", "reference", "value", "mask", "behaviour")
        }
        pairs = [row.pair for row in rows]
        for batch in microbatches(pairs, self.microbatch_tokens, self.pad, self.device):
            t = batch.mask_BT.shape[1]
            scored["mask"][batch.rows, :t] = batch.mask_BT
            logp_BT, entropy_BT = logprobs(self.policy.model, batch, with_entropy=True)
            assert entropy_BT is not None
            scored["old"][batch.rows, :t] = logp_BT * batch.mask_BT
            scored["entropy"][batch.rows, :t] = entropy_BT * batch.mask_BT
            scored["reference"][batch.rows, :t] = logprobs(self.reference, batch)[0] * batch.mask_BT
        self.run.budget.forward_tokens += 2 * sum(map(len, pairs))
        if self.config.advantage == "critic":
            scored["value"] = self._values(rows, scored["value"])
        off = [i for i, row in enumerate(rows) if row.behaviour is not None]
        if off and self.config.off_policy != "awr":
            sampled = [row.behaviour or row.pair for row in rows]
            for batch in microbatches(sampled, self.microbatch_tokens, self.pad, self.device, off):
                scored["behaviour"][batch.rows, : batch.mask_BT.shape[1]] = (
                    logprobs(self.policy.model, batch)[0] * batch.mask_BT
                )
            self.run.budget.forward_tokens += sum(len(sampled[i]) for i in off)
        return scored

    @torch.no_grad()
    def _values(self, rows: Sequence[Row], like_NT: Tensor) -> Tensor:
        """What the critic says now; apart from the rest of the scores, because it alone is asked again after its
        warm-up."""
        values_NT = torch.zeros_like(like_NT)
        for batch in microbatches([row.pair for row in rows], self.microbatch_tokens, self.pad, self.device):
            values_NT[batch.rows, : batch.mask_BT.shape[1]] = self.critic(batch) * batch.mask_BT
        self.run.budget.forward_tokens += sum(len(row.pair) for row in rows)
        return values_NT

    def _learn(self, rows: Sequence[Row], scored: dict[str, Tensor]) -> dict[str, Any]:
        config = self.config
        mask_NT, on_N = scored["mask"], torch.tensor([not row.off_policy for row in rows], device=self.device)
        on_mask_NT = mask_NT * on_N[:, None]
        reward_N = torch.tensor([row.reward for row in rows], device=self.device)
        rewards_NT = losses.terminal_rewards(reward_N, mask_NT)
        with_critic = config.advantage == "critic"
        if self.steps == 0 and with_critic:
            for _ in range(config.critic_warmup_epochs):
                _, returns_NT = losses.gae(rewards_NT, scored["value"], mask_NT, config.gamma, config.lam)
                for chosen in self._minibatches(len(rows)):
                    self._critic_pass(rows, chosen, scored["value"], returns_NT, on_mask_NT, alone=True)
                scored["value"] = self._values(rows, scored["value"])
        advantages_NT, returns_NT = losses.gae(rewards_NT, scored["value"], mask_NT, config.gamma, config.lam)
        if not with_critic:
            group_N = torch.tensor([row.group for row in rows], device=self.device)
            advantages_NT = losses.group_advantages(reward_N, group_N, on_N)[:, None] * mask_NT
        spread = float(advantages_NT[on_mask_NT > 0].std(unbiased=False))
        if config.whiten_advantages and with_critic:
            advantages_NT = losses.whiten(advantages_NT, mask_NT, on_mask_NT)

        sums: dict[str, float] = {}
        tokens = on_tokens = 0.0
        minibatches, stopped, first_ratio = 0, False, 0.0
        for _ in range(config.num_ppo_epochs):
            for chosen in self._minibatches(len(rows)):
                self.optimizer.zero_grad()
                moved = self._policy_pass(rows, chosen, scored, advantages_NT, on_N)
                if with_critic:
                    moved["value_loss"] = self._critic_pass(
                        rows, chosen, scored["value"], returns_NT, on_mask_NT, alone=False
                    )
                if not all(map(math.isfinite, moved.values())):
                    self._diverged("the loss is not a number")
                if minibatches == 0:
                    first_ratio = moved["ratio_distance"]
                    self._check_first_ratio(first_ratio)
                moved["grad_norm"] = float(
                    self.accelerator.clip_grad_norm_(self.policy.model.parameters(), config.max_grad_norm)
                )
                if with_critic:
                    moved["value_grad_norm"] = float(
                        self.accelerator.clip_grad_norm_(self.critic.parameters(), config.max_grad_norm)
                    )
                if not math.isfinite(moved["grad_norm"] + moved.get("value_grad_norm", 0.0)):
                    self._diverged("a gradient is not a number")
                self.optimizer.step()
                self.run.budget.optimizer_steps += 1
                minibatches += 1
                count, on_count = float(mask_NT[chosen].sum()), float(on_mask_NT[chosen].sum())
                tokens, on_tokens = tokens + count, on_tokens + on_count
                for name, value in moved.items():
                    sums[name] = sums.get(name, 0.0) + value
                if config.target_kl is not None and moved["approx_kl"] / max(1.0, on_count) > config.target_kl:
                    stopped = True
                    break
            if stopped:
                break
        kl = sums["kl"] / max(1.0, tokens)
        if kl > config.max_kl:
            self._diverged(f"the KL to the starting policy is {kl:.2f} nats per token (max_kl={config.max_kl})")
        learnt = {
            "rows": len(rows),
            "off_policy_rows": int((~on_N).sum()),
            "loss": sums["loss"] / minibatches,
            "kl": kl,
            "approx_kl": sums["approx_kl"] / max(1.0, on_tokens),
            "entropy": float(losses.masked_mean(scored["entropy"], on_mask_NT)),
            "ratio": sums["ratio"] / max(1.0, on_tokens),
            "ratio_first": first_ratio,
            "clip_fraction": sums["clipped"] / max(1.0, on_tokens),
            "grad_norm": sums["grad_norm"] / minibatches,
            "advantage_std": spread,
            "early_stop": float(stopped),
            "learning_rate": config.learning_rate,
        }
        if with_critic:
            learnt |= {
                "value_loss": sums["value_loss"] / minibatches,
                "value_grad_norm": sums["value_grad_norm"] / minibatches,
                "explained_variance": losses.explained_variance(
                    scored["value"][on_mask_NT > 0], returns_NT[on_mask_NT > 0]
                ),
                "return_mean": float(losses.masked_mean(returns_NT, on_mask_NT)),
                "value_mean": float(losses.masked_mean(scored["value"], on_mask_NT)),
            }
        return learnt

    def _check_first_ratio(self, distance: float) -> None:
        """Before anything was learnt, new and old probabilities are the same; lower precisions than float32 round too
        much to tell."""
        if self.policy.model.dtype == torch.float32 and distance > 0.01:
            raise HerlBenchError(
                f"step {self.steps + 1}: the ratio of the first minibatch is off 1 by {distance:.3g}:"
                f" {self.policy.name} scores the same tokens differently from one batch to the next (is a dropout or a"
                " noise still on?), so PPO's ratio would mean nothing"
            )

    def _minibatches(self, count: int) -> list[Tensor]:
        return list(torch.randperm(count, generator=self.shuffling).split(self.config.minibatch_size))

    def _policy_pass(
        self, rows: Sequence[Row], chosen: Tensor, scored: dict[str, Tensor], advantages_NT: Tensor, on_N: Tensor
    ) -> dict[str, float]:
        """Accumulate the policy's gradient over one minibatch: the mean over its tokens, whatever the micro-batches."""
        config = self.config
        total = scored["mask"][chosen].sum().clamp(min=1)
        sums = dict.fromkeys(("loss", "kl", "approx_kl", "ratio", "ratio_distance", "clipped"), 0.0)
        pairs: list[Pair] = [row.pair for row in rows]
        for batch in microbatches(pairs, self.microbatch_tokens, self.pad, self.device, chosen.tolist()):
            t, mask_BT = batch.mask_BT.shape[1], batch.mask_BT
            old_BT, reference_BT, behaviour_BT = (
                scored[name][batch.rows, :t] for name in ("old", "reference", "behaviour")
            )
            advantage_BT, on_B = advantages_NT[batch.rows, :t], on_N[batch.rows]
            logp_BT, entropy_BT = logprobs(self.policy.model, batch, with_entropy=config.entropy_coef > 0)
            logp_BT = logp_BT * mask_BT
            high = config.cliprange if config.cliprange_high is None else config.cliprange_high
            on_loss_BT, clipped_BT = losses.ppo_loss(
                logp_BT, old_BT, advantage_BT, config.cliprange, high, config.dual_clip
            )
            if config.off_policy == "awr":
                off_loss_BT = losses.awr_loss(logp_BT, advantage_BT)
            elif config.off_policy == "shaped":
                off_loss_BT = losses.shaped_loss(logp_BT, behaviour_BT, advantage_BT, config.shaping_gamma)
            else:
                off_loss_BT, _ = losses.ppo_loss(logp_BT, behaviour_BT, advantage_BT, config.cliprange, high)
            if config.hindsight_loss == "shaped":
                own_B = torch.tensor([rows[i].revision for i in batch.rows.tolist()], device=self.device)
                shaped_BT = losses.shaped_loss(logp_BT, old_BT, advantage_BT, config.shaping_gamma)
                on_loss_BT = torch.where(own_B[:, None], shaped_BT, on_loss_BT)
            kl_BT = losses.kl_k3(logp_BT, reference_BT)
            loss_BT = torch.where(on_B[:, None], on_loss_BT, off_loss_BT) + config.kl_coef * kl_BT
            if entropy_BT is not None:
                loss_BT = loss_BT - config.entropy_coef * entropy_BT
            loss = losses.masked_sum(loss_BT, mask_BT) / total
            self.accelerator.backward(loss)
            with torch.no_grad():
                on_mask_BT = mask_BT * on_B[:, None]
                ratio_BT = (logp_BT - old_BT).exp()
                sums["loss"] += float(loss.detach())
                # Bounded where it is reported: one token that became impossible would outweigh a whole step.
                sums["kl"] += float(losses.masked_sum(kl_BT.clamp(max=10.0), mask_BT))
                sums["approx_kl"] += float(losses.masked_sum(losses.kl_k3(old_BT, logp_BT), on_mask_BT))
                sums["ratio"] += float(losses.masked_sum(ratio_BT, on_mask_BT))
                sums["clipped"] += float(losses.masked_sum(clipped_BT, on_mask_BT))
                sums["ratio_distance"] = max(sums["ratio_distance"], float(((ratio_BT - 1).abs() * on_mask_BT).max()))
        self.run.budget.trained_tokens += sum(len(pairs[i]) for i in chosen.tolist())
        return sums

    def _critic_pass(
        self, rows: Sequence[Row], chosen: Tensor, old_NT: Tensor, returns_NT: Tensor, on_mask_NT: Tensor, alone: bool
    ) -> float:
        """Accumulate the value critic's gradient over a minibatch; with `alone`, also take the step (no clip on the
        value: it starts at 0)."""
        kept = [i for i in chosen.tolist() if not rows[i].off_policy]  # the others have no weight in it
        total = on_mask_NT[chosen].sum().clamp(min=1)
        clip = math.inf if alone else self.config.cliprange_value
        if alone:
            self.optimizer.zero_grad()
        summed = 0.0
        for batch in microbatches([row.pair for row in rows], self.microbatch_tokens, self.pad, self.device, kept):
            t = batch.mask_BT.shape[1]
            loss_BT = losses.value_loss(self.critic(batch), old_NT[batch.rows, :t], returns_NT[batch.rows, :t], clip)
            loss = losses.masked_sum(loss_BT, on_mask_NT[batch.rows, :t]) / total
            self.accelerator.backward(loss)
            summed += float(loss.detach())
        self.run.budget.trained_tokens += sum(len(rows[i].pair) for i in kept)
        if alone:
            self.accelerator.clip_grad_norm_(self.critic.parameters(), self.config.max_grad_norm)
            self.optimizer.step()
        return summed

    def _diverged(self, why: str) -> None:
        where = self.run.save_checkpoint(self.steps, self.state_dict(), label="diverged")
        raise DivergedError(
            f"stopped at step {self.steps + 1}: {why}; the state is in {where}: lower learning_rate (now"
            f" {self.config.learning_rate:g}) or raise kl_coef (now {self.config.kl_coef:g})"
        )

    # ---------------------------------------------------------------------------------------------------------- logging
    def _log(
        self,
        rollouts: Sequence[Rollout],
        drafts: Sequence[Rollout],
        revisions: Sequence[Rollout],
        rows: Sequence[Row],
        learnt: dict[str, Any],
        clock: Clock,
    ) -> None:
        run = self.run
        plain = [r for r in drafts if r.kind == "plain"]
        guided = [r for r in drafts if r.kind == "guided"]
        row: dict[str, Any] = {**described(run, self.steps, rollouts, clock), "rows": len(rows), **learnt}
        if self.config.hindsight:
            row |= {
                "revisions": len(revisions),
                "revision_reward": mean(r.reward for r in revisions),
                "revision_improvement": mean(r.improvement for r in revisions),
                "revision_improved_rate": mean(None if r.improvement is None else r.improvement > 0 for r in revisions),
                "revision_solved_rate": mean_metric(run, revisions),
                "buffer": len(self.buffer),
                "bonus": mean(r.bonus for r in plain),
            }
        if guided:
            row |= {"guided": len(guided), "guided_reward": mean(r.reward for r in guided)}
        if self.bonus:
            row |= self.bonus.calibration()
        if self.config.eval_steps and self.steps % self.config.eval_steps == 0:
            row["eval"] = run.evaluate(f"step-{self.steps:06d}")
        row = checked(row)
        run.log_step(row, rollouts)
        if run.report_to:
            self.accelerator.log({k: v for k, v in row.items() if isinstance(v, int | float)}, step=self.steps)

    # ------------------------------------------------------------------------------------------------------- checkpoint
    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "steps": self.steps,
            "position": self.position,
            "policy": self.accelerator.unwrap_model(self.policy.model).state_dict(),
            "critic": self.accelerator.unwrap_model(self.critic).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "bonus": self.bonus.state_dict() if self.bonus else None,
            "improvements": self.improvements,
            "buffer": self.buffer.state_dict(),
            "budget": self.run.budget.state_dict(),
            "generators": {name: getattr(self, name).get_state() for name in _STREAMS},
            "choosing": self.choosing.getstate(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.position = state["steps"], state["position"]
        self.accelerator.unwrap_model(self.policy.model).load_state_dict(state["policy"])
        self.accelerator.unwrap_model(self.critic).load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.bonus:
            self.bonus.load_state_dict(state["bonus"])
        self.improvements = [tuple(row) for row in state.get("improvements", [])]
        self.buffer.load_state_dict(state["buffer"])
        self.run.budget.load_state_dict(state["budget"])
        for name in _STREAMS:
            getattr(self, name).set_state(state["generators"][name])
        version, internal, gauss = state["choosing"]
        self.choosing.setstate((version, tuple(internal), gauss))


_STREAMS = ("sampling", "revising", "shuffling", "judging_bonus")
