from dataclasses import replace
from random import Random
from typing import Any

import pytest
from helpers.toy_runs import make_rollout

from herl_bench.errors import UsageError
from herl_bench.hindsight import AGAIN, HindsightBuffer
from herl_bench.testing import TOY_RUBRIC, TOY_TEMPLATE
from herl_bench.training.config import HeRLConfig, PPOConfig, suit_to_model
from herl_bench.training.revisions import (
    assign_drafts,
    assign_retries,
    assign_revisions,
    choose_drafts,
    gather_lessons,
    place_revisions,
)
from herl_bench.training.rollouts import make_rows
from herl_bench.types import Judgement, Verdict


def test_only_failures_are_revised_and_undecided_ones_are_not():
    drafts = [make_rollout("a", 1.0), make_rollout("b", 0.5), make_rollout("c", None), make_rollout("d", 0.0)]
    assert choose_drafts(drafts, 9, HeRLConfig(), [0.0] * 4, Random(0)) == {1: 1.0, 3: 1.0}


def test_all_gives_every_failure_the_same_chance():
    drafts = [make_rollout(str(i), 0.5) for i in range(10)]
    counts = [0] * 10
    rng = Random(0)
    for _ in range(2000):
        chosen = choose_drafts(drafts, 3, HeRLConfig(), [0.0] * 10, rng)
        assert set(chosen.values()) == {0.3}
        for i in chosen:
            counts[i] += 1
    assert all(520 < c < 680 for c in counts)


def test_best_of_group_takes_each_prompts_best_failure():
    """A group is a prompt of the step: two of the same problem are two, as for advantages and places."""
    drafts = [make_rollout("a", reward, group=g) for reward, g in ((0.1, 0), (0.6, 0), (0.2, 1), (1.0, 1), (0.5, 2))]
    chosen = choose_drafts(drafts, 4, HeRLConfig(revise="best_of_group", revise_epsilon=0.0), [0.0] * 5, Random(0))
    assert chosen == {1: 1.0, 2: 1.0, 4: 1.0}
    ties = choose_drafts(drafts, 4, HeRLConfig(revise="best_ties", revise_epsilon=0.0), [0.0] * 5, Random(0))
    assert ties == {1: 1.0, 4: 1.0}


def test_a_draft_that_was_cut_off_is_a_failure_or_has_no_part():
    """With all met by the rubric; as the worst of its group, and below a finished one."""
    cut, low = make_rollout("a", 1.0, finish="length"), make_rollout("a", 0.2)
    masked = replace(cut, truncation="mask")
    best = HeRLConfig(revise="best_of_group", revise_epsilon=0.0)
    assert choose_drafts([cut, low], 9, HeRLConfig(), [0.0] * 2, Random(0)) == {0: 1.0, 1: 1.0}
    assert choose_drafts([cut, low], 9, best, [0.0] * 2, Random(0)) == {1: 1.0}
    assert choose_drafts([masked, low], 9, HeRLConfig(), [0.0] * 2, Random(0)) == {1: 1.0}
    (assigned,) = assign_revisions([cut], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig())
    assert assigned.baseline == 0.0
    better = make_rollout("a", 0.7, kind="revision", draft=0, baseline=0.0, guidance="g")
    assert [(h.reward, h.revision_reward) for h in gather_lessons([cut], [better])] == [(0.0, 0.7)]
    assert place_revisions([cut, cut, low], [better], 1, Random(0))[-1] == 3


def test_the_critic_ranks_and_a_random_share_keeps_its_propensity():
    drafts = [make_rollout(str(i), 0.5) for i in range(8)]
    predicted = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    chosen = choose_drafts(drafts, 4, HeRLConfig(revise="critic", revise_epsilon=0.5), predicted, Random(1))
    assert chosen[7] == chosen[6] == 1.0
    others = {i: p for i, p in chosen.items() if i < 6}
    assert len(others) == 2
    assert set(others.values()) == {2 / 6}


def test_a_revision_prompt_shows_draft_and_guidance():
    drafts = [make_rollout("a", 0.5)]
    (assigned,) = assign_revisions(drafts, {0: 0.25}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig())
    assert assigned.prompt == "9? The answer is the sum. count 4 up from 3 3+4="
    assert (assigned.baseline, assigned.draft, assigned.propensity) == (0.5, 0, 0.25)
    (shallow,) = assign_revisions(drafts, {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig(hint_level="criteria"))
    assert shallow.guidance == "The answer is the sum."


def test_a_chat_model_is_talked_to_and_a_base_model_goes_on_writing():
    chat, base = suit_to_model(HeRLConfig(), True), suit_to_model(HeRLConfig(), False)
    assert (chat.revise_form, base.revise_form) == ("without_draft", "prompt")
    given = HeRLConfig(revise_form="with_draft")
    assert suit_to_model(given, True) == given
    assert suit_to_model(PPOConfig(), True) == PPOConfig()
    with pytest.raises(UsageError, match="revise_form=cut_draft: this model has no chat template"):
        suit_to_model(HeRLConfig(revise_form="cut_draft"), False)


def test_a_revision_as_a_conversation_and_guidance_out_of_the_buffer_as_one_turn():
    draft, said = make_rollout("a", 0.5), "Not so: The answer is the sum. count 4 up from 3"
    with_draft = HeRLConfig(revise_form="with_draft", guide_prob=1.0)
    (assigned,) = assign_revisions([draft], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, with_draft)
    assert assigned.prompt == (("user", "3+4="), ("assistant", "9"), ("user", f"{said} Answer again."))
    assert assigned.guidance == said
    alone = (("user", f"3+4=\n\nAn earlier answer is wrong. {said} Answer again."),)
    (assigned,) = assign_revisions(
        [draft], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, replace(with_draft, revise_form="without_draft")
    )
    assert assigned.prompt == alone
    revision = make_rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, guidance=said)
    buffer = HindsightBuffer()
    buffer.add(gather_lessons([draft], [revision]))
    (guided,) = assign_drafts([draft.example], buffer, TOY_TEMPLATE, with_draft, Random(0))
    assert guided.prompt == alone
    assert replace(revision, prompt=guided.prompt).as_json(1, 0)["prompt"] == alone[0][1]


def test_a_draft_is_shown_up_to_its_first_error():
    verdicts = (Verdict("right", False, "not the sum", at=3), Verdict("short", False))
    draft = replace(make_rollout("a", 0.5), text="3+4 is 9", judgement=Judgement(verdicts, 0.5))
    cut = HeRLConfig(revise_form="cut_draft")
    (assigned,) = assign_revisions([draft], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, cut)
    assert assigned.prompt[1] == ("assistant", "3+4")
    (assigned,) = assign_revisions([draft], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, replace(cut, hint_level="criteria"))
    assert len(assigned.prompt) == 1


def test_guidance_out_of_the_buffer_comes_without_the_draft():
    draft = make_rollout("a", 0.5)
    revision = make_rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, guidance="Count on.")
    buffer = HindsightBuffer()
    buffer.add(gather_lessons([draft], [revision]))
    always = HeRLConfig(guide_prob=1.0)
    other = make_rollout("z", None).example
    guided, plain = assign_drafts([draft.example, other], buffer, TOY_TEMPLATE, always, Random(0))
    assert guided.prompt == "Count on. 3+4="
    assert guided.baseline == 0.5
    assert plain.guidance  # the same words, for a similar prompt
    assert (guided.group, plain.group) == (0, 1)
    assert assign_drafts([draft.example], buffer, TOY_TEMPLATE, HeRLConfig(), Random(0))[0].guidance == ""
    for source, expected in (("same", ["Count on.", ""]), ("similar", ["", "Count on."])):
        config = HeRLConfig(guide_prob=1.0, guide_from=source)
        assigned = assign_drafts([draft.example, other], buffer, TOY_TEMPLATE, config, Random(0))
        assert [a.guidance for a in assigned] == expected


def test_ties_for_the_best_of_groups_without_a_success():
    drafts = [make_rollout("a", reward) for reward in (0.6, 0.6, 0.2)]
    drafts += [make_rollout("b", reward, group=1) for reward in (0.2, 1.0)]
    chosen = choose_drafts(drafts, 9, HeRLConfig(revise="best_ties", revise_epsilon=0.0), [0.0] * 5, Random(0))
    assert chosen == {0: 1.0, 1: 1.0}


@pytest.mark.parametrize("revise", ["all", "best_of_group", "best_ties", "critic"])
def test_a_propensity_is_how_often_a_draft_is_chosen(revise: Any):
    drafts = [
        make_rollout(name, reward, group="abcd".index(name))
        for name, reward in zip("aaabbbcccd", [0.1, 0.5, 0.5, 0, 0.2, 0.3, 1, 0.5, 0.5, 0], strict=True)
    ]
    config, rng, n = HeRLConfig(revise=revise, revise_epsilon=0.4), Random(0), 4000
    counts, said = [0] * 10, [set() for _ in drafts]
    for _ in range(n):
        for i, propensity in choose_drafts(drafts, 4, config, [i / 10 for i in range(10)], rng).items():
            counts[i] += 1
            said[i].add(propensity)
    for count, propensities in zip(counts, said, strict=True):
        if count:
            (p,) = propensities
            assert abs(count / n - p) <= 5 * (p * (1 - p) / n) ** 0.5


def test_controls_get_another_problems_guidance_that_says_nothing_or_none():
    other = replace(make_rollout("b", 0.5), judgement=Judgement((Verdict("short", False),), 0.5))
    drafts = [make_rollout("a", 0.5), make_rollout("a", 0.5), other]
    chosen = dict.fromkeys(range(3), 1.0)
    own, shuffled, again, none = (
        assign_revisions(drafts, chosen, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig(guidance=how))
        for how in ("own", "shuffled", "again", "none")
    )
    about_a, about_b = own[0].guidance, own[2].guidance
    assert about_a != about_b
    assert [a.guidance for a in shuffled] == [about_b, about_b, about_a]
    assert shuffled[0].prompt.startswith("9? ")  # the draft stays its own
    assert [a.guidance for a in again] == [AGAIN] * 3
    assert AGAIN in again[0].prompt
    assert about_a not in again[0].prompt
    assert [(a.prompt, a.guidance, a.draft, a.baseline) for a in none] == [("3+4=", "", i, 0.5) for i in range(3)]
    assert (
        assign_revisions(drafts[:2], {0: 1.0, 1: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig(guidance="shuffled")) == []
    )


def test_what_is_tried_again_without_guidance_is_on_policy_and_teaches_no_lesson():
    again = make_rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, prompt_ids=(1,))
    assert [r.off_policy for r in make_rows([again], HeRLConfig(guidance="none"))] == [False]
    assert gather_lessons([make_rollout("a", 0.5)], [again]) == []


def test_some_of_what_was_revised_is_tried_again_under_the_plain_prompt():
    drafts = [
        make_rollout(name, reward, group=i) for i, (name, reward) in enumerate((("a", 0.5), ("b", 0.0), ("c", 0.2)))
    ]
    revisions = [make_rollout(name, 1.0, kind="revision", draft=i, guidance="g") for i, name in ((0, "a"), (2, "c"))]
    every = assign_retries(drafts, revisions, 9, Random(0))
    assert [(a.prompt, a.guidance, a.draft, a.baseline, a.group) for a in every] == [
        ("3+4=", "", 0, 0.5, 0),
        ("3+4=", "", 2, 0.2, 2),
    ]
    assert {assign_retries(drafts, revisions, 1, Random(seed))[0].draft for seed in range(20)} == {0, 2}
    assert assign_retries(drafts, [], 9, Random(0)) == assign_retries(drafts, revisions, 0, Random(0)) == []


def test_the_best_revision_takes_a_random_place_but_not_that_of_a_revised_draft():
    drafts = [make_rollout("a", reward, group=0) for reward in (0.2, 0.5, 0.5, 0.1)] + [make_rollout("b", 0.9, group=1)]
    better, worse = (
        make_rollout("a", r, kind="revision", draft=d, baseline=0.5, group=0) for r, d in ((0.7, 1), (0.4, 2))
    )
    gone = set()
    for seed in range(20):
        taught = place_revisions(drafts, [better, worse], 1, Random(seed))
        assert len(taught) == 5
        assert taught[-1] == 5  # the first of the revisions, which stand behind the drafts
        gone |= set(range(5)) - set(taught)
    assert gone == {0, 3}
    assert place_revisions(drafts, [worse], 1, Random(0)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("think", "shown"), [("drop", "9"), ("keep", "<think>7?</think>9")])
def test_drafts_are_shown_and_kept_as_they_are_judged(think: Any, shown: str) -> None:
    draft = replace(make_rollout("a", 0.0), text="<think>7?</think>9", think=think)
    config = HeRLConfig(revise_form="prompt")
    (assigned,) = assign_revisions([draft], {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, config)
    assert str(assigned.prompt).startswith(f"{shown}? ")
    revision = replace(draft, kind="revision", draft=0, guidance="g", baseline=0.0)
    (lesson,) = gather_lessons([draft], [revision])
    assert (lesson.draft, lesson.revision) == (shown, shown)
    assert draft.as_json(1, 0)["response"] == "<think>7?</think>9"
