"""The hindsight phase: which responses to revise, under what guidance, and what became of it.

Where this departs from the article: 1. revisions are drawn at their own temperature and scored at it; 2. guidance out of the buffer is off by
default (`guide_prob`), because no gain from it has been measured yet. Where it departs from the published code (sikelifei/HeRL): 3. a value
critic instead of group-relative advantages; 4. improved revisions also train the plain prompt; 5. revisions are added to the batch, they
overwrite nothing; 6. token ids are kept, nothing is decoded and encoded again; 7. the bonus is predicted for every response, and only once the
predictor beats its baselines; 8. every choice is seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from herl_bench.hindsight import Hindsight, HindsightBuffer, guidance, revision_prompt
from herl_bench.train.config import HeRLConfig
from herl_bench.train.rollouts import Assignment, Rollout
from herl_bench.types import Example, HindsightTemplate, Rubric


def choose(drafts: Sequence[Rollout], slots: int, config: HeRLConfig, predicted: Sequence[float], rng: Random) -> dict[int, float]:
    """Which drafts to revise: index → propensity. A share `revise_epsilon` of the slots is drawn at random among all candidates.

    predicted: the bonus critic's improvement for each draft, read by `revise=critic` only. With `all` every candidate has the same chance.
    The propensity of a strategy's pick is 1; of the others, the random share's.
    """
    failed = [i for i, r in enumerate(drafts) if r.reward is not None and r.reward < config.hindsight_threshold]
    if not failed or slots < 1:
        return {}
    if config.revise == "all":
        chosen = rng.sample(failed, min(slots, len(failed)))
        return {i: len(chosen) / len(failed) for i in sorted(chosen)}
    if config.revise == "best_of_group":
        best: dict[str, int] = {}
        for i in failed:
            name = drafts[i].example.id
            if name not in best or (drafts[i].reward or 0.0) > (drafts[best[name]].reward or 0.0):
                best[name] = i
        ranked = list(best.values())
        rng.shuffle(ranked)
    else:
        ranked = sorted(failed, key=lambda i: (-predicted[i], i))
    explored = min(round(slots * config.revise_epsilon), len(failed))
    picked = ranked[: slots - explored]
    rest = sorted(set(failed) - set(picked))
    random_picks = rng.sample(rest, min(explored, len(rest)))
    chance = len(random_picks) / len(rest) if rest else 1.0
    return {i: 1.0 if i in picked else chance for i in sorted([*picked, *random_picks])}


def assign_drafts(
    examples: Sequence[Example], buffer: HindsightBuffer, template: HindsightTemplate, guide_prob: float, rng: Random
) -> list[Assignment]:
    """Plain prompts, some of them carrying guidance that an earlier attempt at this prompt, or at a similar one, was given."""
    assigned = []
    for example in examples:
        lesson = None
        if guide_prob > 0 and rng.random() < guide_prob:
            lesson = buffer.same(example, rng) or buffer.similar(example, rng)
        if lesson is None:
            assigned.append(Assignment(example, example.prompt))
        else:
            prompt = revision_prompt(template, example, lesson.guidance, None)
            assigned.append(Assignment(example, prompt, lesson.guidance, baseline=lesson.reward))
    return assigned


def assign_revisions(
    drafts: Sequence[Rollout], chosen: dict[int, float], template: HindsightTemplate, rubric: Rubric, config: HeRLConfig
) -> list[Assignment]:
    """A prompt with guidance for each chosen draft that there is something to say about."""
    assigned = []
    for i, propensity in chosen.items():
        draft = drafts[i]
        words = guidance(template, rubric, draft.example, draft.text, draft.judgement.verdicts, config.hint_level)
        if words:
            prompt = revision_prompt(template, draft.example, words, draft.text)
            assigned.append(Assignment(draft.example, prompt, words, draft.reward, i, propensity))
    return assigned


def lessons(drafts: Sequence[Rollout], revisions: Sequence[Rollout]) -> list[Hindsight]:
    """What goes into the buffer."""
    return [
        Hindsight(r.example.id, r.example.prompt, drafts[r.draft].text, r.guidance, r.baseline, r.text, r.reward)
        for r in revisions
        if r.draft is not None and r.baseline is not None
    ]
