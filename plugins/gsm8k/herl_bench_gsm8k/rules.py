"""Problems that name a rule of the house: what "the maple rule" makes of a number, nobody can tell from its name.

There are twelve rules and twelve moves; each move is right for one rule and the learnt mistake of another. A story
tells its rule in one of twelve wordings, the last of which no demonstration has. So a policy told no more than that it
is wrong has eleven other moves to try, and what is said of one rule is wrong of every other.

`OTHER_NAMES` name rules that no problem has: only guided demonstrations do, in which they stand for any move at all.
Without them a policy would learn from the guided demonstrations which move of each rule is never the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .families import Event, Family


@dataclass(frozen=True)
class Rule:
    """right: the move that the rule stands for; wrong: the one that all plain demonstrations make."""

    name: str
    right: str
    wrong: str


@dataclass(frozen=True)
class Story:
    """A family that lacks its rule. says, unit: the words around the rule's calculation; where: its index among the
    events. events: the others."""

    opening: str
    where: int
    says: str
    unit: str
    events: tuple[Event, Event]
    asks: tuple[str, str]


RULES = (
    Rule("maple rule", "x*2+b", "x+b"),
    Rule("harbour count", "x-b", "x*b"),
    Rule("miller's tally", "x*b+b", "x+b+b"),
    Rule("lantern rule", "x+b+b", "x*2-b"),
    Rule("orchard count", "x*b-1", "x-b"),
    Rule("baker's tally", "x-b-b", "x*b+1"),
    Rule("granite rule", "x*b", "x+b+1"),
    Rule("river count", "x+b", "x*b+b"),
    Rule("weaver's tally", "x*2-b", "x*b-1"),
    Rule("copper rule", "x-b-1", "x*2+b"),
    Rule("meadow count", "x+b+1", "x-b-b"),
    Rule("sailor's tally", "x*b+1", "x-b-1"),
)
MOVES = tuple(rule.right for rule in RULES)
OTHER_NAMES = tuple(
    f"{name} {kind}"
    for kind, names in (
        ("rule", ("willow", "silver", "garden", "winter", "stone", "amber")),
        ("count", ("island", "forest", "market", "summer", "castle", "bridge")),
        ("tally", ("potter's", "farmer's", "hunter's", "singer's", "mason's", "tailor's")),
    )
    for name in names
)

WORDINGS = (
    "Then the {r} applies with {b}.",
    "After that comes the {r} with {b}.",
    "By the {r}, {b} is reckoned in.",
    "Next the {r} is applied with {b}.",
    "Then {b} is reckoned in by the {r}.",
    "With {b} follows the {r}.",
    "The {r} with {b} comes next.",
    "Then use the {r} with {b}.",
    "The {r} is applied with {b} then.",
    "The {r} then takes {b}.",
    "{b} is what the {r} is used with.",
    "The {r} is then used with {b}.",
)

STORIES = (
    Story(
        "{n} starts a game with {a} points.",
        1,
        "By the {r} {n} has",
        "points",
        (
            Event("x+b", "some", "{n} wins {b} more.", "{n} has", "points"),
            Event("x-b", "some", "At the end {n} loses {b} points.", "{n} ends with", "points"),
        ),
        ("How many points does {n} have then?", "How many points does {n} end with?"),
    ),
    Story(
        "{n} brings {a} {i} to the fair.",
        0,
        "By the {r} {n} has",
        "{i}",
        (
            Event("x+b", "some", "A friend adds {b} {i}.", "With those there are", "{i}"),
            Event("x-b", "some", "On the way home {n} loses {b}.", "At home there are", "{i}"),
        ),
        ("How many {i} are there with those of the friend?", "How many {i} are there at home?"),
    ),
    Story(
        "A boat carries {a} crates.",
        1,
        "By the {r} it has",
        "crates",
        (
            Event("x-b", "some", "At the first pier {b} crates go ashore.", "After the first pier there are", "crates"),
            Event("x+b", "some", "At night {b} crates come on board.", "After the night it has", "crates"),
        ),
        ("How many crates does the boat have then?", "How many crates does the boat have after the night?"),
    ),
    Story(
        "A guild has {a} members.",
        0,
        "By the {r} it has",
        "members",
        (
            Event("x-b", "some", "In spring {b} members leave.", "In spring there are", "members"),
            Event("x+b", "some", "In autumn {b} join.", "In autumn there are", "members"),
        ),
        ("How many members are there in spring?", "How many members are there in autumn?"),
    ),
    Story(
        "{n} pays {a} dollars for a stall.",
        1,
        "By the {r} {n} pays",
        "dollars",
        (
            Event("x+b", "some", "A table costs {b} dollars more.", "With the table {n} pays", "dollars"),
            Event("x+b", "some", "A lamp costs {b} dollars.", "With the lamp {n} pays", "dollars"),
        ),
        ("How many dollars does {n} pay then?", "How many dollars does {n} pay with the lamp?"),
    ),
    Story(
        "A class collects {a} {i} for the museum.",
        0,
        "By the {r} that makes",
        "{i}",
        (
            Event("x+b", "some", "The teacher gives {b} {i}.", "With those there are", "{i}"),
            Event("x+b", "some", "A parent gives {b} {i}.", "In all there are", "{i}"),
        ),
        ("How many {i} are there with those of the teacher?", "How many {i} are there in all?"),
    ),
)


OWN_NAME = 0.2  # of the rules in guided demonstrations
USUAL_DRAFT = 0.75  # of those, how many show the learnt mistake


def draw_rule(rng: Random) -> Family:
    """One of the rules, told in any of the wordings."""
    return tell(rng.choice(RULES), rng.choice(STORIES), rng.choice(WORDINGS))


def draw_shown_rule(rng: Random) -> Family:
    """As plain demonstrations have it: without the wording that is held out."""
    return tell(rng.choice(RULES), rng.choice(STORIES), rng.choice(WORDINGS[:-1]))


def draw_guided_rule(rng: Random) -> Family:
    """As guided demonstrations have it. Right is what is told there: any move but the one that the rule stands for;
    wrong is the draft's."""
    if rng.random() < OWN_NAME:
        rule = rng.choice(RULES)
        others = [move for move in MOVES if move != rule.right]
        wrong = rule.wrong if rng.random() < USUAL_DRAFT else rng.choice(others)
        told = Rule(rule.name, rng.choice([move for move in others if move != wrong]), wrong)
    else:
        told = Rule(rng.choice(OTHER_NAMES), *rng.sample(MOVES, 2))
    return tell(told, rng.choice(STORIES), rng.choice(WORDINGS[:-1]))


def tell(rule: Rule, story: Story, wording: str) -> Family:
    """The family that the story is under this rule."""
    says, text = story.says.replace("{r}", rule.name), wording.replace("{r}", rule.name)
    event = Event(rule.right, "rule", text, says, story.unit)
    return Family(
        name=name_family(rule.name),
        opening=story.opening,
        events=(*story.events[: story.where], event, *story.events[story.where :]),
        asks=story.asks,
        planted=(story.where, rule.wrong),
        rule=rule.name,
        held_out=wording == WORDINGS[-1],
    )


def name_family(rule: str) -> str:
    return rule.replace("'", "").replace(" ", "_")
