"""The synthetic world: reproducible, disjoint, discriminating, and wrong exactly where it says so."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from herl_bench_humaneval import rules, single, sound
from herl_bench_humaneval.code import parses, write_correction
from herl_bench_humaneval.world import WORLD, list_mutations, make_demonstrations, make_examples, make_single_examples

from herl_bench import Demonstration, Example

STREAMS = {"rules": make_examples, "single": make_single_examples}


def passes(example: Example, body: str) -> bool:
    """The world's own functions only, so they may run here; the sandbox is tested apart."""
    scope: dict = {}
    exec(example.prompt + body + example.info["test"], scope)
    try:
        scope["check"](scope[example.info["entry_point"]])
    except Exception:
        return False
    return True


def holds(example: Example, body: str) -> bool:
    scope: dict = {}
    exec(example.prompt + body, scope)
    try:
        return all(eval(f"{e['call']} == {e['expected']}", scope) for e in example.info["examples"])
    except Exception:
        return False


def take(
    split: str, seed: int = 0, difficulty: float = 0.5, n: int = 300, kinds: tuple[str, ...] = ("rules", "single")
) -> list[Example]:
    return [e for kind in kinds for e in islice(STREAMS[kind](split, seed, difficulty), n // len(kinds))]


def demonstrate(seed: int, families: object, n: int, guided: bool) -> list[Demonstration]:
    """The first `n` demonstrations of these families with a draft, or without."""
    found = (
        d for d in make_demonstrations(seed) if d.example.info["family"] in families and (d.draft is not None) == guided
    )
    return list(islice(found, n))


@pytest.mark.parametrize("kind", STREAMS)
def test_the_same_seed_gives_the_same_examples(kind: str) -> None:
    assert take("train", 3, n=50, kinds=(kind,)) == take("train", 3, n=50, kinds=(kind,))
    assert take("train", 3, n=50, kinds=(kind,)) != take("train", 4, n=50, kinds=(kind,))
    assert list(islice(make_demonstrations(3), 50)) == list(islice(make_demonstrations(3), 50))


def specification(example: Example) -> str:
    return example.prompt.split("    >>>")[0].split('    """\n')[0]


def test_no_function_is_in_both_splits() -> None:
    train = {specification(e) for seed in (0, 1) for d in (0.0, 0.5, 1.0) for e in take("train", seed, d)}
    train |= {specification(d.example) for d in islice(make_demonstrations(0), 300)}
    held_out = {specification(e) for seed in (0, 7) for d in (0.0, 0.5, 1.0) for e in take("eval", seed, d)}
    assert not train & held_out


@pytest.mark.parametrize("split", ["train", "eval"])
@pytest.mark.parametrize(("kind", "planted"), [("rules", rules.FAMILIES), ("single", single.FAMILIES)])
def test_every_family_occurs_and_about_half_are_planted(split: str, kind: str, planted: dict) -> None:
    found = take(split, n=600, kinds=(kind,))
    assert {e.info["family"] for e in found} == {*planted, *sound.FAMILIES}
    assert all(e.info["planted"] == (e.info["family"] in planted) for e in found)
    assert 0.35 < sum(e.info["planted"] for e in found) / len(found) < 0.6
    assert len({e.id for e in found}) == len(found)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_canonical_bodies_pass_everything(difficulty: float) -> None:
    for e in take("eval", 5, difficulty):
        assert passes(e, e.target), e.prompt + e.target + e.info["test"]
        assert holds(e, e.target), e.prompt + e.target
        assert 5 <= e.info["test"].count("    assert ") <= 8


def test_misconceived_bodies_fail_and_the_docstring_shows_it_only_sometimes() -> None:
    planted = demonstrate(11, single.FAMILIES, 150, guided=False)
    assert not any(passes(d.example, d.response) for d in planted)
    assert 0.25 < sum(not holds(d.example, d.response) for d in planted) / len(planted) < 0.75


def test_a_rule_means_one_move_and_is_taken_for_another() -> None:
    assert len({rule.right for rule in rules.RULES.values()}) == len(rules.RULES) == len(rules.MOVES)
    assert len({rule.wrong for rule in rules.RULES.values()}) == len(rules.MOVES)
    for d in demonstrate(15, rules.FAMILIES, 100, guided=False):
        rule = rules.RULES[d.example.info["rule"]]
        assert (find_move(d.example.target), find_move(d.response)) == (rule.right, rule.wrong)
        assert not passes(d.example, d.response)


def find_move(body: str) -> str:
    return next(m for m in rules.MOVES for xs in XS if body.strip() == rules.write_move(m, xs))


XS = ("numbers", "values", "nums", "items")


def test_guided_demonstrations_of_a_rule_make_every_move_but_the_right_one() -> None:
    guided = demonstrate(16, rules.FAMILIES, 400, guided=True)
    seen = Counter(find_move(d.response) for d in guided)
    assert set(seen) == set(rules.MOVES)
    assert max(seen.values()) < 3 * min(seen.values())
    for d in guided:
        moves = find_move(d.draft or ""), find_move(d.response)
        name = d.example.info["rule"]
        assert name in rules.OTHER_NAMES or rules.RULES[name].right not in moves
        assert name in d.example.prompt
        assert name == d.example.info["family"] or d.example.info["family"] not in d.example.prompt
        assert d.response == d.example.target
        assert moves[1] == d.example.info["move"] != moves[0]


def test_docstrings_of_rules_show_nothing_that_tells_moves_apart() -> None:
    of_rules = [e for e in take("eval", 9, kinds=("rules",)) if e.info["planted"]]
    for e in of_rules:
        assert all(
            holds(e, f"    {rules.write_move(m, xs)}\n") for m in rules.MOVES for xs in XS if f"({xs}:" in e.prompt
        )
    assert 0.5 < sum(bool(e.info["examples"]) for e in of_rules) / len(of_rules) < 0.9


def test_hidden_tests_of_rules_tell_all_moves_apart() -> None:
    for e in take("eval", 10, 0.0, kinds=("rules",)):
        if e.info["planted"]:
            xs = next(xs for xs in XS if f"({xs}:" in e.prompt)
            right = [m for m in rules.MOVES if passes(e, f"    {rules.write_move(m, xs)}\n")]
            assert right == [e.info["move"]]


def test_corrections_name_the_move_whatever_the_draft() -> None:
    named: dict[str, str] = {}
    programs = {m: f"def f(nums):\n    {rules.write_move(m, 'nums')}\n" for m in rules.MOVES}
    for draft in programs.values():
        for move, solution in programs.items():
            if draft != solution:
                told = write_correction(draft, solution, "f")
                assert named.setdefault(told, move) == move


def test_one_wording_of_each_rule_is_held_out_of_the_demonstrations() -> None:
    kept = [d.example for d in islice(make_demonstrations(17), 300) if d.example.info["family"] in rules.FAMILIES]
    assert not any(e.info["held_out"] or " form." in e.prompt for e in kept)
    for split in ("train", "eval"):
        of_rules = [e for e in take(split, 17, n=1500, kinds=("rules",)) if e.info["planted"]]
        assert {e.info["rule"] for e in of_rules if e.info["held_out"]} == set(rules.RULES)
        assert 0.08 < sum(e.info["held_out"] for e in of_rules) / len(of_rules) < 0.2


def test_revisions_do_what_their_reference_does_and_their_drafts_do_not() -> None:
    for families in (rules.FAMILIES, single.FAMILIES, sound.FAMILIES):
        revised = demonstrate(12, families, 150, guided=True)
        assert {d.example.info["family"] for d in revised} == set(families)
        assert all(passes(d.example, d.response) for d in revised)
        parsed = [d for d in revised if d.draft and parses(d.example.prompt + d.draft)]
        assert sum(passes(d.example, d.draft or "") for d in parsed) / len(parsed) < 0.05


def test_sound_families_are_mostly_right_in_plain_demonstrations() -> None:
    found = demonstrate(13, sound.FAMILIES, 200, guided=False)
    right = sum(passes(d.example, d.response) for d in found) / len(found)
    assert 0.85 < right < 0.99


def test_hidden_tests_tell_small_mutations_apart() -> None:
    caught = [not passes(e, m) for e in take("eval", 8) for m in list_mutations(e.target)]
    assert sum(caught) / len(caught) > 0.85


def test_corrections_of_planted_errors_never_quote_the_solution() -> None:
    for d in islice(make_demonstrations(14), 300):
        if d.draft is None and d.example.info["planted"]:
            e = d.example
            told = write_correction(e.prompt + d.response, e.prompt + e.target, e.info["entry_point"])
            assert told
            assert not any(line.strip() in told for line in e.target.splitlines() if line.strip())


def test_difficulty_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        next(make_examples("train", 0, 1.5))
    assert 0 <= WORLD.difficulty <= 1
