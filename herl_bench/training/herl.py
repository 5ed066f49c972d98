"""HeRL and PPO, one actor-critic trainer, read from top to bottom. With hindsight off, HeRL is PPO to the bit.

One step, while the budget lasts:
    sample      responses to the next prompts from the policy
    judge       each by the rubric: verdicts, and a reward r in [0, 1]
    hindsight   choose some that failed; put their verdicts into words; let the policy revise each under that guidance;
                judge the revisions; try a few of the same again without guidance (`share`: how many of either)
    rows        one to learn from per response in the prompt it was written in, and, of a revision that improved, one
                more in the plain prompt that never showed the guidance
    score       each row by the policy, the starting policy and the value critic
    bonus       add α · b to a response's reward: how far it could have improved, by a critic that earned its say
    advantages  GAE, whitened over the step
    update      PPO's clipped surrogate on what was sampled; −A⁺ log π on improved revisions under the plain prompt; in
                as many minibatches as PPO has for as many rollouts, with more rows in each
    log         spend, judge, learn: one row of metrics, every response with its verdicts

Where this departs from the article (arXiv 2603.20046):
  1. revisions are drawn at their own temperature, and scored at it;
  2. guidance out of the buffer is off by default (`guide_prob`): no gain from it has been measured yet;
from the published code (sikelifei/HeRL):
  3. a value critic instead of group-relative advantages;
  4. improved revisions also train the plain prompt;
  5. revisions are added to the batch, they overwrite nothing;
  6. token ids are kept, nothing is decoded and encoded again;
  7. the bonus is predicted for every response, and only once the predictor beats its baselines;
  8. every choice is seeded;
from common PPO for language models:
  9. the KL to the starting policy is a term of the loss (k3), not of the reward;
 10. the value critic is a network of its own, trained on on-policy rows only;
 11. advantages of off-policy rows are whitened with the on-policy rows' mean and deviation.
`preset=paper` takes 3, 4, 5 and 7 back: group-relative advantages without a critic, training in the rewrite prompt with
the shaped ratio, the best revision in a random place of its group, the measured and signed bonus.

Left out: more than one process (the run refuses), and sampling on another device than training.

Each line of a step is a pure piece beside this file: `sampling` (sample, judge), `revisions` and `share` (hindsight),
`rollouts` (rows), `update` (score, advantages, update), with `losses` and `advantages` under it, `bonus`, with `ridge`;
`steps` and `metrics` are what every method does alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import torch

from herl_bench.errors import DivergedError
from herl_bench.evaluation.scores import mean
from herl_bench.hindsight import HindsightBuffer
from herl_bench.training.bonus import Bonus
from herl_bench.training.config import HINDSIGHT_OFF, HeRLConfig, suit_to_model
from herl_bench.training.forward import CPU_TOKENS, GPU_TOKENS, Packing, Pair
from herl_bench.training.judging import Judging
from herl_bench.training.metrics import describe_step, mean_metric
from herl_bench.training.rates import AUTO
from herl_bench.training.revisions import (
    assign_drafts,
    assign_retries,
    assign_revisions,
    choose_drafts,
    gather_lessons,
    place_revisions,
)
from herl_bench.training.rollouts import Rollout, make_rows
from herl_bench.training.sampling import judge_rollouts, sample_rollouts
from herl_bench.training.share import Measured, Slots, Tally, divide_step
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
from herl_bench.training.update import ActorCritic, compute_targets

# One random stream per purpose, seeded by run.seed * 1000 + its place here: what hindsight draws must not move what PPO
# draws, and no two of them, nor those of neighbouring seeds, may be the same. The first two sample, on the policy's
# device.
STREAMS = ("sampling", "revising", "shuffling")


def train(run: TrainingRun) -> None:
    """Spend the run's budget. Raises `DivergedError` on NaN or exploding KL, after saving what there was."""
    learner = Learner(run)
    state = run.load_checkpoint()
    if state is not None:
        learner.load_state_dict(state)
    while not run.interrupted and (plan := learner.plan()):
        try:
            learner.step(plan)
        except DivergedError as error:
            stop_diverged(run, learner.steps, learner.state_dict(), str(error), kl_weight="kl_coef")
        if learner.steps % learner.config.save_steps == 0:
            run.save_checkpoint(learner.steps, learner.state_dict())
    run.save_checkpoint(learner.steps, learner.state_dict())
    run.critics = {"critic": learner.models.critic} if learner.models.critic else {}


class StepPlan(NamedTuple):
    """minibatches: per pass over the step's rows."""

    prompts: int
    slots: Slots
    minibatches: int


class Learner:
    """The models, the hindsight buffer and the random states of a run, and what one step does with them."""

    def __init__(self, run: TrainingRun):
        self.run, given = run, run.config
        # PPO's configuration is HeRL's with hindsight off, so that the code below knows one kind only.
        config = given if isinstance(given, HeRLConfig) else HeRLConfig(**vars(given), **HINDSIGHT_OFF)
        self.config = suit_to_model(config, run.policy.chat)
        accelerator = self.accelerator = open_accelerator(run, self.config)
        device = accelerator.device
        self.streams = {
            name: torch.Generator(device if name in STREAMS[:2] else "cpu").manual_seed(run.seed * 1000 + purpose)
            for purpose, name in enumerate(STREAMS)
        }
        self.choosing = Random(run.seed)
        tokens = self.config.microbatch_tokens or (CPU_TOKENS if device.type == "cpu" else GPU_TOKENS)
        in_bfloat16 = run.policy.placement.dtype == "bfloat16"
        packing = Packing(tokens, run.policy.pad_id, device, self.config.logits_chunk, in_bfloat16)
        self.models = ActorCritic(run, self.config, accelerator, packing, self.streams["shuffling"])
        self.bonus = Bonus(self.config)
        self.buffer = HindsightBuffer(self.config.buffer_size)
        self.judging = Judging(run.environment)
        self.measured = Measured()
        self.examples = ExampleStream(run.data)
        self.steps, self.started = 0, time.monotonic()

    def plan(self) -> StepPlan | None:
        """Of the next step; None when the budget is spent."""
        config, rollouts = self.config, afford_rollouts(self.run, self.steps)
        fraction = config.revise_fraction if config.hindsight else 0.0
        slots = divide_step(rollouts, fraction, config.num_generations, self.measured)
        prompts = (rollouts - sum(slots)) // config.num_generations
        minibatches = count_minibatches(rollouts, config.minibatch_size)
        return StepPlan(prompts, slots, minibatches) if prompts else None

    def step(self, plan: StepPlan) -> None:
        run, config, streams, clock = self.run, self.config, self.streams, Clock(self.started)

        examples = [example for example in self.examples.take(plan.prompts) for _ in range(config.num_generations)]
        with clock("sample"):
            assigned = assign_drafts(examples, self.buffer, run.template, config, self.choosing)
            drafts = sample_rollouts(run, self.judging, assigned, config.temperature, streams["sampling"])
        with clock("judge"):
            drafts = judge_rollouts(run, self.judging, drafts)

        revisions, retries = self._look_back(drafts, plan.slots, clock) if config.hindsight else ([], [])
        rollouts = [*drafts, *revisions, *retries]
        taught: Sequence[int] = range(len(rollouts))
        if config.replace_top_n:
            placed = place_revisions(drafts, revisions, config.replace_top_n, self.choosing)
            taught = [*placed, *range(len(rollouts) - len(retries), len(rollouts))]
        rows = make_rows([rollouts[i] for i in taught], config)
        ends: dict[Pair, torch.Tensor] = {}
        learnt: dict[str, float] = {}
        # Off-policy rows alone would have nothing to be whitened by.
        is_taught = any(not row.off_policy for row in rows)
        if is_taught:
            with clock("score"):
                scored = self.models.score(rows)
                ends = {row.pair: end_D for row, end_D in zip(rows, scored.end_ND.cpu(), strict=True)}
        with clock("bonus"):
            rollouts[: len(drafts)] = self.bonus.pay(self.steps + 1, drafts, revisions, ends)
            calibration = self.bonus.describe_calibration()
            rows = make_rows([rollouts[i] for i in taught], config)
        if is_taught:
            with clock("learn"):
                if self.steps == 0:
                    scored = self.models.warm_up(rows, scored, plan.minibatches)
                targets = compute_targets(rows, scored, config)
                learnt = self.models.update(rows, scored, targets, self.steps + 1, plan.minibatches)

        self.steps += 1
        row: dict[str, Any] = {**describe_step(run, self.steps, rollouts, clock), "rows": len(rows), **learnt}
        row |= self._describe_hindsight(rollouts[: len(drafts)], revisions) | calibration
        if config.hindsight and config.revise_fraction == AUTO:
            row |= self._measure_share(rollouts)
        log_step(run, row, rollouts, self.accelerator)

    def _look_back(self, drafts: Sequence[Rollout], slots: Slots, clock: Clock) -> tuple[list[Rollout], list[Rollout]]:
        """Revisions of some drafts under guidance, and a second try at a few of the same without any, all judged."""
        run, config, streams = self.run, self.config, self.streams
        predicted = [0.0] * len(drafts)
        if config.revise == "critic":
            with clock("bonus"):
                asked = [draft.pair for draft in drafts]
                predicted = self.bonus.predict(drafts, dict(zip(asked, self.models.read_ends(asked), strict=True)))
        with clock("hindsight"):
            # Rounded up, and the last draft is revised less often: no slot stays empty.
            often = config.revisions_per_draft
            chosen = choose_drafts(drafts, -(-slots.revisions // often), config, predicted, self.choosing)
            assigned = assign_revisions(drafts, chosen, run.template, run.rubric, config)
            assigned = [each for each in assigned for _ in range(often)][: slots.revisions]
            # Without guidance a revision is one more draft, and must come from the same distribution.
            temperature = config.temperature if config.guidance == "none" else config.revision_temperature
            revisions = sample_rollouts(run, self.judging, assigned, temperature, streams["revising"], "revision")
            revisions = judge_rollouts(run, self.judging, revisions)
            assigned = assign_retries(drafts, revisions, slots.retries, self.choosing)
            retries = sample_rollouts(run, self.judging, assigned, config.temperature, streams["revising"], "retry")
            retries = judge_rollouts(run, self.judging, retries)
            self.buffer.add(gather_lessons(drafts, revisions))
        return revisions, retries

    def _measure_share(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        """Learn from the step what the next one's share shall be."""
        share, self.measured = self.measured.share, self.measured.add(rollouts)
        gains = {"revision_gain": self.measured.revised.rate, "retry_gain": self.measured.retried.rate}
        return {
            "retries": sum(r.kind == "retry" for r in rollouts),
            "revise_share": share,
            **{name: None if rate is None else 1000 * rate for name, rate in gains.items()},
        }

    def _describe_hindsight(self, drafts: Sequence[Rollout], revisions: Sequence[Rollout]) -> dict[str, Any]:
        """HeRL's part of a row of metrics; nothing with hindsight off."""
        row: dict[str, Any] = {}
        if self.config.hindsight:
            gains = [r.improvement for r in revisions]
            row |= {
                "revisions": len(revisions),
                "revision_reward": mean(r.reward for r in revisions),
                "revision_improvement": mean(gains),
                "revision_improved_rate": mean(None if gain is None else gain > 0 for gain in gains),
                "revision_solved_rate": mean_metric(self.run, revisions),
                "buffer": len(self.buffer),
                "bonus": mean(r.bonus for r in drafts if r.kind == "plain"),
            }
        if guided := [r.reward for r in drafts if r.kind == "guided"]:
            row |= {"guided": len(guided), "guided_reward": mean(guided)}
        return row

    # ------------------------------------------------------------------------------------------------------- checkpoint
    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "steps": self.steps,
            "position": self.examples.position,
            **self.models.state_dict(),
            **self.bonus.state_dict(),
            "buffer": self.buffer.state_dict(),
            "budget": self.run.budget.state_dict(),
            "generators": {name: generator.get_state() for name, generator in self.streams.items()},
            "choosing": self.choosing.getstate(),
            "measured": [list(tally) for tally in self.measured],
            # Another number of responses at once gives other ones, and of rows another rounding of the gradient.
            "cache_bytes": self.run.policy.cache_bytes,
            "microbatch_tokens": self.models.packing.max_tokens,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.examples.position = state["steps"], state["position"]
        self.models.load_state_dict(state)
        self.bonus.load_state_dict(state)
        self.measured = Measured(*(Tally(*values) for values in state.get("measured", [])))
        self.buffer.load_state_dict(state["buffer"])
        self.run.budget.load_state_dict(state["budget"])
        for name, generator in self.streams.items():
            restore_generator(generator, state["generators"][name])
        version, internal, gauss = state["choosing"]  # a file gives lists where Random wants tuples
        self.choosing.setstate((version, tuple(internal), gauss))
        self.run.policy.cache_bytes = state.get("cache_bytes", self.run.policy.cache_bytes)
        self.models.packing.max_tokens = state.get("microbatch_tokens", self.models.packing.max_tokens)
