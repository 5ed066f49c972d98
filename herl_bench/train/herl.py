"""The hindsight phase: which responses to revise, under what guidance, and what became of it.

Where this departs from the article: 1. revisions are drawn at their own temperature and scored at it; 2. guidance out
of the buffer is off by default (`guide_prob`), because no gain from it has been measured yet. Where it departs from the
published code (sikelifei/HeRL): 3. a value critic instead of group-relative advantages; 4. improved revisions also
train the plain prompt; 5. revisions are added to the batch, they overwrite nothing; 6. token ids are kept, nothing is
decoded and encoded again; 7. the bonus is predicted for every response, and only once the predictor beats its
baselines; 8. every choice is seeded. `preset=paper` takes 3, 4, 5 and 7 back: group-relative advantages without a
critic, training in the rewrite prompt with the shaped ratio, the best revision in a random place of its group, the
measured and signed bonus.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from herl_bench.hindsight import Hindsight, HindsightBuffer, write_guidance, write_revision_prompt
from herl_bench.train.config import HeRLConfig
from herl_bench.train.rollouts import Assignment, Rollout
from herl_bench.types import Example, HindsightTemplate, Rubric


def choose(
    drafts: Sequence[Rollout], slots: int, config: HeRLConfig, predicted: Sequence[float], rng: Random
) -> dict[int, float]:
    """Which drafts to revise: index → propensity. A share `revise_epsilon` of the slots is drawn at random among all
    candidates.

    predicted: the bonus critic's improvement for each draft, read by `revise=critic` only. With `all` every candidate
    has the same chance. A propensity is the chance, before any draw, of being picked by the strategy or else by the
    random share.
    """
    failed = [i for i, r in enumerate(drafts) if r.reward is not None and r.reward < config.hindsight_threshold]
    if not failed or slots < 1:
        return {}
    if config.revise == "all":
        chosen = rng.sample(failed, min(slots, len(failed)))
        return {i: len(chosen) / len(failed) for i in sorted(chosen)}
    if config.revise == "critic":
        ranked = sorted(failed, key=lambda i: (-predicted[i], i))
    else:
        ranked = _best(drafts, failed, ties=config.revise == "best_ties")
        rng.shuffle(ranked)
    explored = min(round(slots * config.revise_epsilon), len(failed))
    picked = ranked[: slots - explored]
    rest = sorted(set(failed) - set(picked))
    random_picks = rng.sample(rest, min(explored, len(rest)))
    chance = len(random_picks) / len(rest) if rest else 0.0
    if config.revise == "critic":  # the same drafts whatever is drawn
        by_strategy = dict.fromkeys(picked, 1.0)
    else:  # shuffled: each of the ranked had the same chance
        by_strategy = dict.fromkeys(ranked, len(picked) / len(ranked) if ranked else 0.0)
    return {
        i: by_strategy.get(i, 0.0) + (1 - by_strategy.get(i, 0.0)) * chance for i in sorted([*picked, *random_picks])
    }


def _best(drafts: Sequence[Rollout], failed: Sequence[int], ties: bool) -> list[int]:
    """The best failure of each prompt, the first of equals; with `ties`, all of them, of prompts without a success
    only."""
    groups: dict[str, list[int]] = {}
    for i in failed:
        groups.setdefault(drafts[i].example.id, []).append(i)
    if not ties:
        return [max(group, key=lambda i: drafts[i].reward or 0.0) for group in groups.values()]
    solved = {r.example.id for i, r in enumerate(drafts) if r.reward is not None and i not in set(failed)}
    best = {name: max(drafts[i].reward or 0.0 for i in group) for name, group in groups.items() if name not in solved}
    return [i for name in best for i in groups[name] if drafts[i].reward == best[name]]


def assign_drafts(
    examples: Sequence[Example], buffer: HindsightBuffer, template: HindsightTemplate, config: HeRLConfig, rng: Random
) -> list[Assignment]:
    """Plain prompts, some of them carrying guidance that an earlier attempt at this prompt, or at a similar one, was
    given."""
    assigned = []
    for i, example in enumerate(examples):
        lesson, group = None, i // config.num_generations
        if config.guide_prob > 0 and rng.random() < config.guide_prob:
            if config.guide_from != "similar":
                lesson = buffer.same(example, rng)
            if config.guide_from != "same" and lesson is None:
                lesson = buffer.similar(example, rng)
        if lesson is None:
            assigned.append(Assignment(example, example.prompt, group=group))
        else:
            prompt = write_revision_prompt(template, example, lesson.guidance, None)
            assigned.append(Assignment(example, prompt, lesson.guidance, baseline=lesson.reward, group=group))
    return assigned


def assign_revisions(
    drafts: Sequence[Rollout], chosen: dict[int, float], template: HindsightTemplate, rubric: Rubric, config: HeRLConfig
) -> list[Assignment]:
    """A prompt with guidance for each chosen draft that there is something to say about; what `config.guidance` makes
    of it."""
    said = {
        i: write_guidance(
            template, rubric, drafts[i].example, drafts[i].text, drafts[i].judgement.verdicts, config.hint_level
        )
        for i in chosen
    }
    said = {i: words for i, words in said.items() if words}
    if config.guidance == "shuffled":
        said = _swapped(said, drafts)
    assigned = []
    for i, words in said.items():
        draft = drafts[i]
        if config.guidance == "none":
            words, prompt = "", draft.example.prompt
        else:
            prompt = write_revision_prompt(template, draft.example, words, draft.text)
        assigned.append(Assignment(draft.example, prompt, words, draft.reward, i, chosen[i], draft.group))
    return assigned


def _swapped(said: dict[int, str], drafts: Sequence[Rollout]) -> dict[int, str]:
    """Each draft with the guidance of the next one of another problem; drafts are in no order that means anything, so
    nothing is drawn."""
    order = list(said)
    swapped = {}
    for k, i in enumerate(order):
        others = [j for j in (*order[k + 1 :], *order[:k]) if drafts[j].example.id != drafts[i].example.id]
        if others:
            swapped[i] = said[others[0]]
    return swapped


def replaced(drafts: Sequence[Rollout], revisions: Sequence[Rollout], most: int, rng: Random) -> list[Rollout]:
    """What is trained on where revisions take the place of drafts: in each group at most `most` revisions, the best
    first, that are at least as good as its best draft, each in a random draft's place; other revisions train nothing.
    Revised drafts stay: they hold the measured bonus.
    """
    kept = set(range(len(drafts)))
    placed = []
    for group in dict.fromkeys(r.group for r in revisions):
        rewards = [d.reward for d in drafts if d.group == group and d.reward is not None]
        good = [r for r in revisions if r.group == group and r.reward is not None and r.reward >= max(rewards)]
        revised = {r.draft for r in revisions if r.group == group}
        places = [i for i, d in enumerate(drafts) if d.group == group and i not in revised]
        taken = rng.sample(places, min(most, len(good), len(places)))
        kept -= set(taken)
        placed += sorted(good, key=lambda r: -(r.reward or 0.0))[: len(taken)]
    return [*(d for i, d in enumerate(drafts) if i in kept), *placed]


def lessons(drafts: Sequence[Rollout], revisions: Sequence[Rollout]) -> list[Hindsight]:
    """What goes into the buffer: drafts and revisions that both were decided."""
    return [
        Hindsight(r.example.id, r.example.prompt, drafts[r.draft].text, r.guidance, r.baseline, r.text, r.reward)
        for r in revisions
        if r.draft is not None and r.improvement is not None and r.baseline is not None and r.guidance
    ]
