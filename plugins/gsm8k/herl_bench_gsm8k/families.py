"""The stories of the world that need no rule: 24 families of word problems, half of them with a misconception that has
one plausible alternative.

A family is an opening and two or three events, each of which calls for one move on the running quantity. A move is
written as what it calculates from the running quantity x and the event's number b: `x*b`, `b-x`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One step.

    number: how it is drawn: `few` (a factor), `some` (an amount), `rule` (what a rule is applied with), `bill` (20, 50
    or 100), or the number itself. text: the sentence of the question; says, unit: the words around the calculation in
    the solution.
    """

    move: str
    number: str | int
    text: str
    says: str
    unit: str


@dataclass(frozen=True)
class Family:
    """opening: introduces the first number, `{a}`. asks: the question after two events, and after three where there is
    a third.

    planted: (index of the event, the wrong move), or None. rule: the name of the rule that the planted event follows,
    or empty. held_out: is the rule told in words that no demonstration has?
    """

    name: str
    opening: str
    events: tuple[Event, ...]
    asks: tuple[str, ...]
    planted: tuple[int, str] | None = None
    rule: str = ""
    held_out: bool = False


FAMILIES = (
    Family(
        "gift_then_growth",
        "{n} has {a} {i}.",
        (
            Event("x+b", "some", "A friend gives {n} {b} more.", "{n} then has", "{i}"),
            Event("x*b", "few", "By summer the pile is {b} times as large.", "By summer {n} has", "{i}"),
            Event("x-b", "some", "In the end {n} gives {b} away.", "{n} keeps", "{i}"),
        ),
        ("How many {i} does {n} have by summer?", "How many {i} does {n} keep?"),
        planted=(1, "x+b"),
    ),
    Family(
        "stock_left",
        "A shop has {a} {i}.",
        (
            Event("x-b", "some", "It sells {b} of them in the morning.", "The shop has", "{i} left"),
            Event("x*b", "few", "Each one that is left costs {b} dollars.", "They cost", "dollars"),
            Event("x+b", "some", "The shop also has {b} dollars in cash.", "All in all that is", "dollars"),
        ),
        ("How many dollars do the {i} left cost?", "How many dollars is that with the cash?"),
    ),
    Family(
        "full_boxes",
        "{n} packs {a} boxes.",
        (
            Event("x*b", "few", "Every box holds {b} {i}.", "The boxes hold", "{i}"),
            Event("x-b", "some", "{b} of the {i} are broken.", "That leaves", "good {i}"),
            Event("x+b", "some", "A friend brings {b} good ones.", "With those there are", "good {i}"),
        ),
        ("How many good {i} are there?", "How many good {i} are there in the end?"),
        planted=(0, "x+b"),
    ),
    Family(
        "day_of_work",
        "{n} earns {a} dollars an hour.",
        (
            Event("x*b", "few", "Today {n} works {b} hours.", "{n} earns", "dollars"),
            Event("x-b", "some", "Lunch costs {b} dollars.", "After lunch {n} has", "dollars"),
            Event("x+b", "some", "A guest leaves {b} dollars for {n}.", "In the end {n} has", "dollars"),
        ),
        ("How many dollars does {n} have after lunch?", "How many dollars does {n} have in the end?"),
    ),
    Family(
        "equal_shares",
        "{n} bakes {a} rolls.",
        (
            Event("x+b", "some", "Then {n} buys {b} more.", "{n} has", "rolls"),
            Event("x/b", "few", "The rolls are shared equally by {b} friends.", "Each friend gets", "rolls"),
            Event("x+b", "some", "Each friend had {b} rolls before.", "Each friend now has", "rolls"),
        ),
        ("How many rolls does each friend get?", "How many rolls does each friend have now?"),
        planted=(1, "x-b"),
    ),
    Family(
        "bus_stops",
        "A bus has {a} people in it.",
        (
            Event("x-b", "some", "At the first stop {b} people get out.", "After the first stop there are", "people"),
            Event("x+b", "some", "At the second stop {b} people get in.", "After the second stop there are", "people"),
            Event("x+b", "some", "At the third stop {b} people get in.", "After the third stop there are", "people"),
        ),
        (
            "How many people are in the bus after the second stop?",
            "How many people are in the bus after the third stop?",
        ),
    ),
    Family(
        "half_of_them",
        "{n} makes {a} cakes on Monday.",
        (
            Event("x+b", "some", "On Tuesday {n} makes {b} more.", "{n} makes", "cakes"),
            Event("x/b", 2, "Half of all the cakes are sold.", "The cakes sold are", "cakes"),
            Event("x*b", "few", "Each cake sold brings {b} dollars.", "They bring", "dollars"),
        ),
        ("How many cakes are sold?", "How many dollars do the cakes bring?"),
        planted=(1, "x-b"),
    ),
    Family(
        "hens_and_eggs",
        "A farm has {a} hens.",
        (
            Event("x*b", "few", "Each hen lays {b} eggs a week.", "The hens lay", "eggs"),
            Event("x+b", "some", "A friend brings {b} eggs.", "Together there are", "eggs"),
            Event("x-b", "some", "{b} eggs are sold.", "The farm keeps", "eggs"),
        ),
        ("How many eggs are there together?", "How many eggs does the farm keep?"),
    ),
    Family(
        "same_way_each_day",
        "{n} walks {a} km to the lake.",
        (
            Event("x+b", "some", "From there {n} rides {b} km home.", "The way is", "km"),
            Event("x*b", "few", "{n} does this on {b} days.", "On all days {n} goes", "km"),
            Event("x-b", "some", "A friend goes {b} km less in all.", "The friend goes", "km"),
        ),
        ("How many km does {n} go on all days?", "How many km does the friend go?"),
        planted=(1, "x+b"),
    ),
    Family(
        "rows_of_plants",
        "A garden has {a} rows of plants.",
        (
            Event("x*b", "few", "There are {b} plants in each row.", "The garden has", "plants"),
            Event("x-b", "some", "In winter {b} plants die.", "After winter there are", "plants"),
            Event("x+b", "some", "In spring {n} adds {b} plants.", "In spring there are", "plants"),
        ),
        ("How many plants are there after winter?", "How many plants are there in spring?"),
    ),
    Family(
        "fewer_pages",
        "On Monday {n} reads {a} pages.",
        (
            Event("x-b", "some", "On Tuesday {n} reads {b} pages fewer.", "On Tuesday {n} reads", "pages"),
            Event("x*b", "few", "A page takes {n} {b} minutes.", "On Tuesday that takes", "minutes"),
            Event("x+b", "some", "Then {n} writes for {b} minutes.", "Reading and writing take", "minutes"),
        ),
        ("How many minutes does {n} read on Tuesday?", "How many minutes do reading and writing take on Tuesday?"),
        planted=(0, "x+b"),
    ),
    Family(
        "weekly_savings",
        "{n} saves {a} dollars a week.",
        (
            Event("x*b", "few", "{n} does so for {b} weeks.", "{n} saves", "dollars"),
            Event("x+b", "some", "An aunt gives {n} {b} dollars.", "With that {n} has", "dollars"),
            Event("x-b", "some", "{n} buys a bag for {b} dollars.", "{n} has left", "dollars"),
        ),
        ("How many dollars does {n} have?", "How many dollars does {n} have left?"),
    ),
    Family(
        "change_from_a_bill",
        "{n} buys {a} {i}.",
        (
            Event("x*b", "few", "They cost {b} dollars each.", "The {i} cost", "dollars"),
            Event("b-x", "bill", "{n} pays with a {b} dollar bill.", "{n} gets back", "dollars"),
            Event("x+b", "some", "At home {n} has {b} dollars more.", "In all {n} has", "dollars"),
        ),
        ("How many dollars does {n} get back?", "How many dollars does {n} have in all?"),
        planted=(1, "x+b"),
    ),
    Family(
        "water_tank",
        "A tank holds {a} litres of water.",
        (
            Event("x+b", "some", "Rain adds {b} litres.", "After the rain it holds", "litres"),
            Event("x-b", "some", "Then {n} uses {b} litres.", "That leaves", "litres"),
            Event("x-b", "some", "At night {b} litres leak out.", "The next day it holds", "litres"),
        ),
        ("How many litres are left?", "How many litres does the tank hold the next day?"),
    ),
    Family(
        "packs_for_sale",
        "A shop has {a} loose {i}.",
        (
            Event("x/b", "few", "It puts them in packs of {b}.", "The shop makes", "packs"),
            Event("x*b", "few", "A pack sells for {b} dollars.", "All packs sell for", "dollars"),
            Event("x-b", "some", "The packing costs {b} dollars.", "The shop earns", "dollars"),
        ),
        ("How many dollars do all packs sell for?", "How many dollars does the shop earn?"),
        planted=(0, "x-b"),
    ),
    Family(
        "school_class",
        "A class has {a} girls.",
        (
            Event("x+b", "some", "It also has {b} boys.", "The class has", "pupils"),
            Event("x-b", "some", "Today {b} pupils are ill.", "Today there are", "pupils"),
            Event("x*b", "few", "Each pupil in class draws {b} cards.", "They draw", "cards"),
        ),
        ("How many pupils are there today?", "How many cards do they draw?"),
    ),
    Family(
        "ages",
        "{n} is {a} years old.",
        (
            Event("x*b", "few", "An uncle is {b} times as old as {n}.", "The uncle is", "years old"),
            Event("x-b", "some", "An aunt is {b} years younger than the uncle.", "The aunt is", "years old"),
            Event("x+b", "some", "A neighbour is {b} years older than the aunt.", "The neighbour is", "years old"),
        ),
        ("How old is the aunt?", "How old is the neighbour?"),
        planted=(0, "x+b"),
    ),
    Family(
        "tickets",
        "A ticket for the zoo costs {a} dollars.",
        (
            Event("x*b", "few", "{n} buys {b} tickets.", "The tickets cost", "dollars"),
            Event("x+b", "some", "The drinks cost {b} dollars.", "With drinks that is", "dollars"),
            Event("x+b", "some", "The bus costs {b} dollars.", "With the bus that is", "dollars"),
        ),
        ("How many dollars does {n} pay with drinks?", "How many dollars does {n} pay in all?"),
    ),
    Family(
        "taken_to_market",
        "{n} fills {a} bags with {i}.",
        (
            Event("x*b", "few", "There are {b} {i} in a bag.", "The bags have", "{i}"),
            Event("x-b", "some", "{b} of the {i} go to the market.", "{n} is left with", "{i}"),
            Event("x+b", "some", "The next day {n} finds {b} more.", "The next day {n} has", "{i}"),
        ),
        ("How many {i} is {n} left with?", "How many {i} does {n} have the next day?"),
        planted=(1, "x+b"),
    ),
    Family(
        "road_works",
        "A road is {a} km long.",
        (
            Event("x-b", "some", "By May {b} km of it are done.", "The rest is", "km"),
            Event("x/b", "few", "The rest takes {b} weeks of equal work.", "Each week sees", "km"),
            Event("x+b", "some", "In June {b} km more are done each week.", "In June a week sees", "km"),
        ),
        ("How many km are done each week?", "How many km are done each week in June?"),
    ),
    Family(
        "more_than_another",
        "{n} wins {a} points.",
        (
            Event("x+b", "some", "A friend wins {b} points more than {n}.", "The friend wins", "points"),
            Event("x-b", "some", "Then the friend loses {b} points.", "That leaves", "points"),
            Event("x*b", "few", "At last the points count {b} times.", "At last there are", "points"),
        ),
        ("How many points are left to the friend?", "How many points has the friend at last?"),
        planted=(0, "x-b"),
    ),
    Family(
        "teams",
        "A school has {a} players.",
        (
            Event("x/b", "few", "They form teams of {b} players.", "There are", "teams"),
            Event("x*b", "few", "Each team gets {b} balls.", "The teams get", "balls"),
            Event("x-b", "some", "{b} of the balls get lost.", "There are then", "balls"),
        ),
        ("How many balls do the teams get?", "How many balls are there then?"),
    ),
    Family(
        "put_back",
        "A jar has {a} {i} in it.",
        (
            Event("x-b", "some", "{n} takes {b} of them out.", "The jar has", "{i}"),
            Event("x+b", "some", "Later {n} puts {b} back.", "Later the jar has", "{i}"),
            Event("x*b", "few", "There are {b} such jars.", "The jars have", "{i}"),
        ),
        ("How many {i} does the jar have later?", "How many {i} do all the jars have?"),
        planted=(1, "x-b"),
    ),
    Family(
        "rope_needed",
        "{n} has {a} ropes.",
        (
            Event("x*b", "few", "Each rope is {b} metres long.", "The ropes are", "metres long"),
            Event("b-x", "bill", "A tent needs {b} metres of rope.", "So {n} still needs", "metres"),
            Event("x+b", "some", "A second tent needs {b} metres more.", "For both {n} needs", "metres"),
        ),
        ("How many metres does {n} still need?", "How many metres does {n} need for both tents?"),
    ),
)
