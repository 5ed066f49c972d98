"""How BBH's robust metric reads an answer: writings of the right one, and of wrong ones that look like it, for each
kind of answer."""

from __future__ import annotations

import pytest

pytest.importorskip("herl_bench_bbh")
from herl_bench_bbh import TASK, answers, checks, data

from herl_bench import Example


def item(family: str, text: str, target: str) -> Example:
    return data.build_example({"input": text, "target": target}, family, 0, "here")


LETTER = item(
    "date_understanding", "When?\nOptions:\n(A) 05/01/2021\n(B) 04/30/2021\n(C) the red ball\n(D) pink ball", "(B)"
)
BALL = item("date_understanding", "Which?\nOptions:\n(A) red ball\n(B) blue ball\n(C) pink ball", "(B)")
BOOLEAN = item("boolean_expressions", "not ( True ) and True is", "False")
YES = item("web_of_lies", "Question: Ann lies. Does Ann tell the truth?", "No")
NUMBER = item("multistep_arithmetic_two", "((1)) =", "-11520")
COUNT = item("object_counting", "I have two cats and four dogs. How many animals do I have?", "6")
WORDS = item(
    "word_sorting", "Sort the following words alphabetically: List: cow ant cat and bee", "and ant bee cat cow"
)
VALID = item("formal_fallacies", "Is it?\nOptions:\n- valid \n- invalid", "invalid")
DYCK = item("dyck_languages", "Complete. Input: [ ( { <", "> } ) ]")

RIGHT = [
    (
        LETTER,
        [
            "The answer is:\n\n(B)",
            "**Answer:**\n(B)",
            "The answer is option (B).",
            "The correct answer is Option B.",
            "The answer is B, since May comes first.",
            "The answer is B because of the year.",
            "The answer is [B].",
            "The answer is $\\boxed{\\text{(B)}}$.",
            "The answer is \\((B)\\).",
            "The answer is (B). I hope this answer is helpful!",
            "The answer is (B). Let me know if the answer is clear.",
            "**The answer is: (B)**",
            "Answer: B",
            "answer: (b)",
            "Final Answer: **B**",
            "The final answer is $\\boxed{B}$.",
            "\\boxed{(B)}",
            "\\boxed{\\textbf{(B) } 04/30/2021}",
            "<answer>(B)</answer>",
            "<answer>\nB\n</answer>",
            "The correct option is (B).",
            "The correct choice is: B",
            "The answer is (B) 04/30/2021.",
            "The answer is not (A) but (B).",
            "The answer is “B”.",
            "The answer is probably B.",
            "The answer is that 04/30/2021.",
            "(B)",
            "**B.**",
            "Option B: 04/30/2021",
            "04/30/2021",
            "The answer is 04/30/2021.",
            "The answer is B.",
            "The answer is <B>.",
            "The answer is (B) because (A) and (C) are wrong.",
            "The answer would be (B).",
            "The answer is \\boxed{B) 04/30/2021}",
            "Final answer:\n\n> (B)",
            "The answer is B)",
            "The answer is ( B ).",
            "The answer is (B), not (A).",
            "The answer is (B) rather than (A) or (C).",
            "The answer is **(B)** 04/30/2021, because (A) is a day too late.",
            "The answer is most likely (B).",
            "The answer is as follows:\n(B)",
            "**Answer**: (B)",
            "The answer is `(B)`.",
            'The answer is "(B)".',
            "The answer is the option (B).",
            "The answer is B - 04/30/2021.",
            "The answer is （B）.",
            "The answer is (A). Wait, no. The answer is (B).",
            "The answer is choice B.",
            "The answer is (B) as May comes first.",
            "<think>The answer is (A).</think>\nThe answer is (B).",
            "Perhaps the answer is (C)?\n</think>\nThe answer is (B).",
            "The answer is (B).\n\nThe answer is (",
            "The answer is (B).\n\nThe answer is **",
            "The answer is (B).\n\nThe answer is",
            "### Answer\n(B)",
            "**Final Answer**\n\n(B) 04/30/2021",
            "Answer\n\n\\[\\boxed{(B)}\\]",
            "Final Answer - B",
            "Answer (B)",
            "**Answer** (B) 04/30/2021",
            "The right option is (B).",
            "The best choice is: B",
            "So the answer is X, where X is (B).",
            "So the answer is X = (B).",
            "The answer is X: B.",
            "(A) is a day too late. So option (B) is correct.",
            "Hence (B) 04/30/2021 is the correct answer.",
            "Therefore, choice B is the right one.",
            "**Option (B)** is therefore the correct option.",
            "It could be (A), but that is a day too late. So the answer is (B).",
            "Is the answer (A)? No, that is a day late. So the answer is (B).",
            "(A) is correct so far. But May comes first. So the answer is (B).",
        ],
    ),
    (
        BALL,
        [
            "The answer is blue ball.",
            "The answer is the blue ball.",
            "The answer is Blue Ball, since they swapped.",
            "The answer is (B) blue ball.",
            "The answer is B: blue ball.",
        ],
    ),
    (
        BOOLEAN,
        [
            "The answer is $\\boxed{\\text{False}}$.",
            "The answer is false",
            "The answer is **False**.",
            "The answer is not True and True = False.",
            "The answer is `False`, since not True is False.",
            "Answer:\nFalse",
            "The answer is (False).",
            'The answer is: "False".',
            "The answer is that it evaluates to False.",
            "\\boxed{\\mathrm{False}}",
            "<answer>False</answer>",
        ],
    ),
    (
        YES,
        [
            "So the answer is No.",
            "The answer is no, Ann lies.",
            "**Answer:** No",
            "Answer: \\boxed{No}",
            'The answer is "No".',
            "The answer is:\n\nNo, she does not.",
            "The answer is clearly no.",
        ],
    ),
    (
        NUMBER,
        [
            "The answer is -11520.",
            "The answer is -11519 - 1 = -11520.",
            "The answer is = -11520.",
            "The answer is −11,520.",
            "The answer is -11 520.",
            "The answer is \\boxed{-11{,}520}.",
            "The answer is -11520.0.",
            "The answer is $-11520$.",
            "The answer is (-11520).",
            "The answer is:\n\n$$-11520$$",
            "Answer: **-11520**",
            "The answer is \\(-11520\\).",
            "The answer is A - B = -11520.",
            "The answer is -11520 because the product is negative.",
            "The answer is approximately -11520.",
            "The answer is -1152e1.",
        ],
    ),
    (
        COUNT,
        [
            "The answer is:\n6",
            "The answer is 6 animals.",
            "6",
            "The answer is 2 + 4 = 6.",
            "The answer is 6, as 2 + 4 = 6.",
            "The answer is 6. I counted 2 kinds.",
            "Answer: 6 (2 cats and 4 dogs)",
            "The answer is a total of 6.",
        ],
    ),
    (
        WORDS,
        [
            "So the answer is:\n1. and\n2. ant\n3. bee\n4. cat\n5. cow",
            "So the answer is: 1. and 2. ant 3. bee 4. cat 5. cow",
            "So the answer is and, ant, bee, cat, and cow.",
            "So the answer is and ant bee cat cow.",
            "The answer is:\n- and\n- ant\n- bee\n- cat\n- cow",
            "The answer is:\n\nand\nant\nbee\ncat\ncow\n\nI hope this helps.",
            'The answer is "and", "ant", "bee", "cat", "cow".',
            "The answer is [and, ant, bee, cat, cow].",
            "The answer is **and ant bee cat cow**. They are in order.",
            "The answer is and < ant < bee < cat < cow.",
            "The answer is 1) and 2) ant 3) bee 4) cat 5) cow",
            "The answer is: And, Ant, Bee, Cat, Cow",
            "The answer is:\n* and\n* ant\n* bee\n* cat\n* cow",
            "The answer is:\n```\nand ant bee cat cow\n```",
            "The answer is `and` `ant` `bee` `cat` `cow`",
            "The answer is and → ant → bee → cat → cow",
        ],
    ),
    (
        VALID,
        [
            "So the answer is deductively invalid.",
            "So the answer is invalid.",
            "The answer is **invalid**: it does not follow.",
            "Answer:\n- invalid",
            'The answer is "invalid".',
            "The answer is that the argument is invalid.",
            "\\boxed{\\text{invalid}}",
        ],
    ),
    (
        DYCK,
        [
            "So the answer is:\n\n```\n> } ) ]\n```",
            "So the answer is > } ) ].",
            "The answer is: `> } ) ]`",
            "The answer is >})].",
            'The answer is "> } ) ]".',
            "The answer is:\n> } ) ]",
            "The answer is > } ) ], which closes all.",
            "The answer is $\\boxed{> \\} ) ]}$.",
            "The answer is **> } ) ]**",
            "The answer is >, }, ), ].",
        ],
    ),
]

WRONG = [
    (
        LETTER,
        [
            "The answer is (B) or (C).",
            "The answer is B or C.",
            "The answer is (B)(C)",
            "The answer is (B) (C).",
            "The answer is (B) and also (C).",
            "The answer is (B), (C) or (D).",
            "The answer is \\boxed{B \\text{ or } C}",
            "The answer is B or maybe option C.",
            "The answer cannot be (B).",
            "The answer is (A) or (B).",
            "The answer is B/C.",
            "The answer is (B) and (C).",
            "The answer is (B), (C).",
            "The answer is either (B) or (A).",
            "The answer is not (B).",
            "The answer is (A).",
            "The answer is (E).",
            "The answer is none of them.",
            "The answer is (B). No, the answer is (A).",
            "The answer is BC.",
            "The answer is Bob.",
            "The answer is neither (B) nor (C).",
            "(B) or (C)",
            "(A)\n(B)",
            "B is a letter.",
            "The answer is (B); (C).",
            "The answer is (B) as well as (C).",
            "The answer is (B), maybe (C).",
            "The answer is (B) is wrong.",
            "The answer is anything except (B).",
            "The answer is not (B) but (A).",
            "",
            "<think>The answer is (B).</think>\nThe answer is (A).",
            "<think>The answer is (B).",
            "The answer is A because B is wrong.",
            "The answer is (A), not (B).",
            "The answer is A, B.",
            "The answer is 04/30/2022.",
            "The answer is option (B) or option (C).",
            "(A) is correct. (B) is correct.",
            "The answer is (B).\n\nThe answer is (A",
            "The answer is (",
            "The answer is (A).\n\nThe answer is (",
            "Neither (A) nor (B) is correct.",
            "If (B) is correct, May came first.",
            "Is option (B) correct?",
            "Is it true that (B) is the correct answer?",
            "I doubt whether (B) is correct.",
            "(B) isn't correct.",
            "(B) is incorrect.",
            "Option (B) is not the correct answer.",
            "(A) or (B) is correct.",
            "(B) is the correct answer? No.",
            "(B) is correct. The answer is (A).",
            "The answer to this question\n(B)",
            "### Answers to similar questions\n(B)",
            "Answer\n(A)\n\nor (B)",
            "My answer (B) was wrong.",
            "The answer is XB.",
            "It could be (B), but that is a day too late. So the answer is (C).",
            "(A) is a year late.\nThat leaves (B)",  # cut off
            "(A) is a day late, so we look at (B)",
            "(B) 04/30/2021 is a day",
            "Option (B) is",
        ],
    ),
    (
        BALL,
        [
            "The answer is a blue cube.",
            "The answer is red ball or blue ball.",
            "The answer is a red ball.",
            "The answer is the ball.",
            "The answer is blue.",
        ],
    ),
    (
        BOOLEAN,
        [
            "The answer is True.",
            "The answer is False or True.",
            "The answer is False? True.",
            "The answer is not False.",
            "The answer is False and True.",
            "The answer is 0.",
            "The answer is Falsely.",
            "The answer is true, not False.",
            "The answer is False = True.",
            "The answer is False, True.",
            "The answer is anything but False.",
            "The answer is False is wrong.",
        ],
    ),
    (
        YES,
        [
            "The answer is Yes.",
            "The answer is no or yes.",
            "The answer is yes, not no.",
            "The answer is nothing.",
            "The answer is unknown.",
            "The answer is either no or yes.",
            "The answer is No/Yes",
            "The answer is no, yes.",
            "The answer is unknown, no way to tell.",
        ],
    ),
    (
        NUMBER,
        [
            "The answer is -11520.5.",
            "The answer is -11520/7.",
            "The answer is 11520.",
            "The answer is -11520 or -11521.",
            "The answer is -11520 + 1.",
            "The answer is -11520, -11521.",
            "The answer is (-11520) * 2",
            "The answer is -11520 ± 1",
            "The answer is -11520 1/2",
            "The answer is -11520 * 2.",
            "The answer is -11520e1.",
            "The answer is -11,52.",
            "The answer is -1152.",
            "The answer is -115200.",
            "The answer is -11520,5.",
            "The answer is not -11520.",
            "The answer is -11520 = -11521.",
            "The answer is less than -11520.",
            "The answer is -11520:2.",
            "The answer is -11520^2.",
            "The answer is 1 - 11520.",
        ],
    ),
    (
        COUNT,
        [
            "The answer is 6.5.",
            "The answer is 6/7.",
            "The answer is 6 or 7.",
            "The answer is 6 * 2.",
            "The answer is 5.",
            "The answer is 66.",
            "The answer is 6:1.",
            "The answer is 5 + 6.",
            "The answer is six.",
            "6 or 7",
            "The answer is 6².",
        ],
    ),
    (
        WORDS,
        [
            "The answer is ant and bee cat cow.",
            "The answer is and ant bee cat.",
            "The answer is and ant bee cat cow or ant and bee cat cow.",
            "The answer is:\n1. ant\n2. and\n3. bee\n4. cat\n5. cow",
            "The answer is ant, bee, cat, and cow.",
            "The answer is and ant cat bee cow.",
        ],
    ),
    (
        VALID,
        [
            "The answer is valid.",
            "The answer is valid or invalid.",
            "The answer is not invalid.",
            "The answer is deductively valid.",
            "The answer is neither valid nor invalid.",
            "The answer is invalid/valid.",
            "The answer is invalidated.",
        ],
    ),
    (
        DYCK,
        [
            "The answer is ] ) } >.",
            "The answer is > } ).",
            "The answer is > } ) ] or ] ) } >.",
            "The answer is [ ( { < > } ) ].",
            "The answer is > } ) ] ].",
            "The answer is nothing.",
            "The answer is > } ) ] (.",
        ],
    ),
]


@pytest.mark.parametrize(
    ("example", "written"), RIGHT, ids=lambda value: answers.find_kind(value) if isinstance(value, Example) else ""
)
def test_right_answers_however_written(example: Example, written: list[str]) -> None:
    assert [response for response in written if answers.robust_match(example, response) != 1] == []
    assert [response for response in written if checks.right_answer(example, response).met is not True] == []
    assert [response for response in written if checks.allowed_option(example, response).met is not True] == []  # type: ignore[union-attr]
    assert None not in [TASK.extract(example, response) for response in written]


@pytest.mark.parametrize(
    ("ending", "met"),
    [
        ("So the answer is (B).", True),
        ("So the answer is (B) 04/30/2021.", True),
        ("So the answer is (B). 04/30/2021.", True),
        ("So the answer is 04/30/2021.", True),
        ("So the answer is (B). May comes first.", False),
        ("So the answer is (B). May comes first, says Dr. Ott.", False),
        ("So the answer is (B)! It is.", False),
        ("So the answer is (B).\nMay comes first.", False),
        ("So the answer is (B)", False),
        ("So the answer is (B). So the answer is (B).", False),
    ],
)
def test_the_asked_form_ends_with_the_answer(ending: str, met: bool) -> None:
    assert checks.answer_form(LETTER, f"Step by step. {ending}").met is met
    assert answers.robust_match(LETTER, ending) == 1


def test_an_option_with_full_stops_in_it_is_one_answer() -> None:
    film = item("movie_recommendation", "Which?\nOptions:\n(A) Mr. Bean\n(B) E.T. the Extra", "(A)")
    for ending in ("(A)", "(A) Mr. Bean", "Mr. Bean", "A) Mr. Bean"):
        assert checks.answer_form(film, f"So the answer is {ending}.").met is True
    assert checks.answer_form(film, "So the answer is (A) Mr. Ott.").met is False
    assert checks.answer_form(film, "So the answer is Mr. Bean. It is funny.").met is False


@pytest.mark.parametrize(
    ("example", "written"), WRONG, ids=lambda value: answers.find_kind(value) if isinstance(value, Example) else ""
)
def test_wrong_answers_that_look_right(example: Example, written: list[str]) -> None:
    assert [response for response in written if answers.robust_match(example, response) != 0] == []
    assert [response for response in written if checks.right_answer(example, response).met is not False] == []
