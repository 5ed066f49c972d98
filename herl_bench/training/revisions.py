"""The hindsight phase in pure pieces: which drafts to revise, under what guidance, what of it is trained on, and which
lessons are kept. Whatever is random is drawn from the `rng` that is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from herl_bench.conversation import Prompt
from herl_bench.hindsight import AGAIN, Hindsight, HindsightBuffer, find_first_error, write_guidance, write_revision
from herl_bench.training.config import HeRLConfig
from herl_bench.training.rollouts import Assignment, Rollout
from herl_bench.types import Example, HindsightTemplate, ReviseForm, Rubric


def assign_drafts(
    examples: Sequence[Example], buffer: HindsightBuffer, template: HindsightTemplate, config: HeRLConfig, rng: Random
) -> list[Assignment]:
    """Plain prompts, some with guidance that an earlier attempt at this prompt, or at a similar one, was given."""
    assigned = []
    for i, example in enumerate(examples):
        lesson, group = None, i // config.num_generations
        if config.guide_prob > 0 and rng.random() < config.guide_prob:
            if config.guide_from != "similar":
                lesson = buffer.draw_same(example, rng)
            if config.guide_from != "same" and lesson is None:
                lesson = buffer.draw_similar(example, rng)
        if lesson is None:
            assigned.append(Assignment(example, example.prompt, group=group))
        else:
            prompt = write_revision(template, example, lesson.guidance, None, _get_form(config))
            assigned.append(Assignment(example, prompt, lesson.guidance, baseline=lesson.reward, group=group))
    return assigned


# ------------------------------------------------------------------------------------------------------------- choosing
def choose_drafts(
    drafts: Sequence[Rollout], slots: int, config: HeRLConfig, predicted: Sequence[float], rng: Random
) -> dict[int, float]:
    """Which drafts to revise: index → propensity, the chance, before any draw, of being picked by the strategy or else
    by the share `revise_epsilon` of the slots that is drawn at random among all candidates. slots: of drafts.
    predicted: the bonus critic's improvement for each draft, read by `revise=critic` only.
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
        ranked = _find_best(drafts, failed, with_ties=config.revise == "best_ties")
        rng.shuffle(ranked)
    explored = min(round(slots * config.revise_epsilon), len(failed))
    picked = ranked[: slots - explored]
    rest = sorted(set(failed) - set(picked))
    random_picks = rng.sample(rest, min(explored, len(rest)))
    if config.revise == "critic":  # the same drafts whatever is drawn
        by_strategy = dict.fromkeys(picked, 1.0)
    else:  # shuffled: each of the ranked had the same chance
        by_strategy = dict.fromkeys(ranked, len(picked) / len(ranked) if ranked else 0.0)
    at_random = len(random_picks) / len(rest) if rest else 0.0
    chances = {i: by_strategy.get(i, 0.0) for i in sorted([*picked, *random_picks])}
    return {i: chance + (1 - chance) * at_random for i, chance in chances.items()}


def _find_best(drafts: Sequence[Rollout], failed: Sequence[int], with_ties: bool) -> list[int]:
    """The best failure of each group, the first of equals; with ties, all, of groups without a success only."""
    groups: dict[int, list[int]] = {}
    for i in failed:
        groups.setdefault(drafts[i].group, []).append(i)
    if not with_ties:
        return [max(group, key=lambda i: drafts[i].reward or 0.0) for group in groups.values()]
    solved = {r.group for i, r in enumerate(drafts) if r.reward is not None and i not in set(failed)}
    best = {name: max(drafts[i].reward or 0.0 for i in group) for name, group in groups.items() if name not in solved}
    return [i for name in best for i in groups[name] if drafts[i].reward == best[name]]


# ------------------------------------------------------------------------------------------------------------- revising
def assign_revisions(
    drafts: Sequence[Rollout],
    chosen: Mapping[int, float],
    template: HindsightTemplate,
    rubric: Rubric,
    config: HeRLConfig,
) -> list[Assignment]:
    """A prompt with guidance, or what `config.guidance` makes of it, for each chosen draft with something to say of."""
    guidance, form = {}, _get_form(config)
    for i in chosen:
        example, text, verdicts = drafts[i].example, drafts[i].answer, drafts[i].judgement.verdicts
        if words := write_guidance(template, rubric, example, text, verdicts, config.hint_level, form=form):
            guidance[i] = words
    if config.guidance == "shuffled":
        guidance = _swap_guidance(guidance, drafts)
    elif config.guidance == "again":
        guidance = dict.fromkeys(guidance, AGAIN)
    assigned = []
    for i, words in guidance.items():
        draft = drafts[i]
        prompt: Prompt = draft.example.prompt
        if config.guidance == "none":
            words = ""
        else:
            told = config.guidance != "again"  # where the draft is cut says where it goes wrong
            error_at = find_first_error(rubric, draft.judgement.verdicts, config.hint_level) if told else None
            prompt = write_revision(template, draft.example, words, draft.answer, form, error_at)
        assigned.append(Assignment(draft.example, prompt, words, draft.reward, i, chosen[i], draft.group))
    return assigned


def assign_retries(
    drafts: Sequence[Rollout], revisions: Sequence[Rollout], count: int, rng: Random
) -> list[Assignment]:
    """The plain prompts of some of the drafts that were revised, to be tried again."""
    revised = sorted({r.draft for r in revisions if r.draft is not None})
    picked = sorted(rng.sample(revised, min(count, len(revised))))
    return [
        Assignment(d.example, d.example.prompt, baseline=d.reward, draft=i, group=d.group)
        for i, d in ((i, drafts[i]) for i in picked)
    ]


def _get_form(config: HeRLConfig) -> ReviseForm:
    return "prompt" if config.revise_form == "auto" else config.revise_form


def _swap_guidance(guidance: Mapping[int, str], drafts: Sequence[Rollout]) -> dict[int, str]:
    """Each draft with the guidance of the next one of another problem. Their order means nothing: nothing is drawn."""
    order, swapped = list(guidance), {}
    for k, i in enumerate(order):
        others = [j for j in (*order[k + 1 :], *order[:k]) if drafts[j].example.id != drafts[i].example.id]
        if others:
            swapped[i] = guidance[others[0]]
    return swapped


def place_revisions(drafts: Sequence[Rollout], revisions: Sequence[Rollout], most: int, rng: Random) -> list[int]:
    """What is trained on where revisions take the place of drafts, as positions among the drafts and, behind them, the
    revisions: in each group at most `most` revisions, the best first, that are at least as good as its best draft, each
    in a random draft's place; other revisions train nothing. Revised drafts stay: they hold the measured bonus.
    """
    kept = set(range(len(drafts)))
    placed = []
    for group in dict.fromkeys(r.group for r in revisions):
        rewards = [d.reward for d in drafts if d.group == group and d.reward is not None]
        worth = {i: r.reward for i, r in enumerate(revisions) if r.group == group and r.reward is not None}
        good = [i for i, reward in worth.items() if reward >= max(rewards)]
        revised = {r.draft for r in revisions if r.group == group}
        places = [i for i, d in enumerate(drafts) if d.group == group and i not in revised]
        replaced = rng.sample(places, min(most, len(good), len(places)))
        kept -= set(replaced)
        placed += sorted(good, key=lambda i: -worth[i])[: len(replaced)]
    return [*sorted(kept), *(len(drafts) + i for i in placed)]


def gather_lessons(drafts: Sequence[Rollout], revisions: Sequence[Rollout]) -> list[Hindsight]:
    """What goes into the buffer: drafts and revisions that both were decided."""
    return [
        Hindsight(r.example.id, r.example.prompt, drafts[r.draft].answer, r.guidance, r.baseline, r.answer, r.reward)
        for r in revisions
        if r.draft is not None and r.improvement is not None and r.baseline is not None and r.guidance
    ]
