"""The synthetic world: reproducible, disjoint, discriminating, and wrong exactly where it says so."""

from __future__ import annotations

from itertools import islice

import pytest
from herl_bench_humaneval.code import parses, write_correction
from herl_bench_humaneval.world import FAMILIES, PLANTED, WORLD, list_mutations, make_demonstrations, make_examples

from herl_bench import Example


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


def take(split: str, seed: int = 0, difficulty: float = 0.5, n: int = 300) -> list[Example]:
    return list(islice(make_examples(split, seed, difficulty), n))


def test_the_same_seed_gives_the_same_examples() -> None:
    assert take("train", 3, n=50) == take("train", 3, n=50) != take("train", 4, n=50)
    assert list(islice(make_demonstrations(3), 50)) == list(islice(make_demonstrations(3), 50))


def specification(example: Example) -> tuple[str, str]:
    return example.prompt.split("    >>>")[0], example.target


def test_no_function_is_in_both_splits() -> None:
    train = {specification(e) for seed in (0, 1) for d in (0.0, 0.5, 1.0) for e in take("train", seed, d)}
    train |= {specification(d.example) for d in islice(make_demonstrations(0), 300)}
    held_out = {specification(e) for seed in (0, 7) for d in (0.0, 0.5, 1.0) for e in take("eval", seed, d)}
    assert not train & held_out


@pytest.mark.parametrize("split", ["train", "eval"])
def test_every_family_occurs_and_half_are_planted(split: str) -> None:
    found = take(split, n=1500)
    assert {e.info["family"] for e in found} == set(FAMILIES)
    assert all(e.info["planted"] == (e.info["family"] in PLANTED) for e in found)
    assert abs(len(PLANTED) - len(FAMILIES) / 2) <= 1
    assert len({e.id for e in found}) == len(found)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_canonical_bodies_pass_everything(difficulty: float) -> None:
    for e in take("eval", 5, difficulty):
        assert passes(e, e.target), e.prompt + e.target + e.info["test"]
        assert holds(e, e.target), e.prompt + e.target
        assert 5 <= e.info["test"].count("    assert ") <= 8


def test_misconceived_bodies_fail_and_the_docstring_shows_it_only_sometimes() -> None:
    planted = [d for d in islice(make_demonstrations(11), 900) if d.draft is None and d.example.info["planted"]]
    assert len(planted) > 150
    assert not any(passes(d.example, d.response) for d in planted)
    shown = sum(not holds(d.example, d.response) for d in planted) / len(planted)
    assert 0.25 < shown < 0.75


def test_revisions_are_right_and_their_drafts_are_not() -> None:
    revised = [d for d in islice(make_demonstrations(12), 600) if d.draft is not None]
    assert {d.example.info["family"] for d in revised} == set(FAMILIES)
    assert all(passes(d.example, d.response) for d in revised)
    parsed = [d for d in revised if d.draft and parses(d.example.prompt + d.draft)]
    assert 0.8 < len(parsed) / len(revised) < 1
    assert sum(passes(d.example, d.draft or "") for d in parsed) / len(parsed) < 0.05


def test_sound_families_are_mostly_right_in_plain_demonstrations() -> None:
    sound = [d for d in islice(make_demonstrations(13), 900) if d.draft is None and not d.example.info["planted"]]
    right = sum(passes(d.example, d.response) for d in sound) / len(sound)
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
