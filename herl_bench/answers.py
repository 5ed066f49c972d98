"""What a response answers: its text without what was thought, and a number as people write one. For any plugin.

`answer_text` leaves out the thoughts of a reasoning model: `<think>…</think>` and the like. What is thought is not the
answer, and a thought that was never closed has none. Where a server's chat template opened the thought, its end stands
alone, and the text before it is thought too. A tag in quotes is a word that is spoken of, not a thought.

`leading_number` reads one number in usual notation: `1,234.50`, `70{,}000`, `70 000`, `-$5`, `18 €`, `50%`, `~18`,
`(18)`, `1e3`, `2 × 10^3`, `5/2`, `2 1/2`, `\\frac{5}{2}`, `\\text{18}`, `x = 18`, `9 * 2 = 18`, `70 thousand`, with
words behind it. What only begins like a number is none: a calculation without its result, a range, a ratio, two
numbers of which one is meant, `18,50`.

Both take time that grows with the text's length; `leading_number` looks at the first `LONGEST_PLACE` characters.

Left out: numbers in words, and a thought that a server's template opened and that was cut off: nothing tells of it.
"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST_PLACE = 300
LONGEST_NUMBER = 50
"""Characters of a number; what is longer is none. Python itself refuses to read 4,301 digits."""

# ------------------------------------------------------------------------------------------------------------- thoughts
_TAG = re.compile(r"(?i)(?<![\"'`])(?:<(/?)(think|thinking|thought|reasoning)(?:\s[^<>]*)?>|\[(/?)(THINK)\])(?![\"'`])")
UNCLOSED = "the thought was never closed"
NO_ANSWER = "<think>"  # shown of a response whose thought was never closed


def answer_text(response: str) -> str | None:
    """The response without its thoughts, if it holds any; None where a thought was never closed."""
    kept: list[str] = []
    start, inside = 0, ""
    for tag in _TAG.finditer(response):
        closing, name = bool(tag[1] or tag[3]), (tag[2] or tag[4]).lower()
        if closing and inside in ("", name):
            if not inside:  # opened by the prompt: all before it was thought
                kept.clear()
            start, inside = tag.end(), ""
        elif not closing and not inside:
            kept.append(response[start : tag.start()])
            inside = name
    return None if inside else "".join([*kept, response[start:]])


def find_opening(prompt: str) -> str:
    """The tag that a prompt ends in, by which its chat template has the response begin as a thought; else empty."""
    tag = ([None, *_TAG.finditer(prompt)])[-1]
    return tag[0] if tag and not (tag[1] or tag[3]) and not prompt[tag.end() :].strip() else ""


def is_thought_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def show_response(response: str, think: str) -> str:
    """What is judged of a response, and shown of it as a draft: all (`keep`), or what it says without its thoughts
    (`drop`). Of one with a thought that was never closed the tag is left, by which `answer_text` tells."""
    if think == "keep":
        return response
    text = answer_text(response)
    return NO_ANSWER if text is None else text


# -------------------------------------------------------------------------------------------------------------- numbers
_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_SIGNS = {
    **{ord(odd): plain for odd, plain in zip("−–－＋×·⋅∙÷⁄＝％，：（）", "---+****//=%,:()", strict=True)},
    **dict.fromkeys(map(ord, "\u00a0\u2007\u2008\u2009\u200a\u202f\u3000"), " "),
    **dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"), ""),
    **{ord(one): f" {over}" for one, over in _FRACTIONS.items()},
}
_MONEY = "$€£¥₹₽₩₦₱₫₺₴₪฿"
_LATEX = (
    (re.compile(r"<<[^<>\n]*>>"), ""),  # calculator notes
    (re.compile(r"\\[dtc]?frac\s{0,3}\{([^{}]{1,60})\}\s{0,3}\{([^{}]{1,60})\}"), r" \1/\2"),
    (re.compile(r"\\[dtc]?frac\s{0,3}(\d)(\d)"), r" \1/\2"),
    (re.compile(r"\{([,.])\}"), r"\1"),
    (re.compile(r"\\(?:times|cdot|ast)\b"), "*"),
    (re.compile(r"\\div\b"), "/"),
    (re.compile(r"\\(?:approx|sim|simeq)\b"), "~"),
    (re.compile(r"\\(?:pounds|euro|textdollar|texteuro)\b"), "$"),
    (re.compile(r"\\(?=[$%#&_])"), ""),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\[,;:> ()\[\]]"), " "),
    (re.compile(r"\\(?:[dD]isplaystyle|left|right|[a-z]*box(?:ed)?|(?:text|math)[a-z]*|bf|rm|it|q?quad)\b\*?"), " "),
    (re.compile(r"</?[A-Za-z]+ ?/?>"), " "),
    (re.compile(r"<(\d[\d,.]{0,40})>"), r"\1"),
    (re.compile(r"[{}`]"), ""),
    (re.compile(r"(?<![\d.*x])(?<![*x] )10 ?\^ ?\(?(\d{1,2})\)?"), r"1e\1"),
    (re.compile(rf"\b(?:minus|negative) (?=[{_MONEY}]?[\d.])"), "-"),
    (re.compile(r"(?<!\d)(?:\*\*|__)|(?:\*\*|__)(?!\d)"), ""),  # emphasis, not 10**3
    (re.compile(rf"(?<=[^\W\d_])[{_MONEY}]+"), " "),
    (re.compile(rf"[{_MONEY}]"), ""),
)
_UNSIGNED = r"(?:\d{1,3}(?:(?P<mark>[,'’_ ])\d{3})(?:(?P=mark)\d{3})*(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>(?:(?<![\w)])[-+] ?)?)(?P<number>{_UNSIGNED})"
    r"(?:[eE](?P<e>[-+]?\d{1,2})(?!\w|\.\d)| ?[*x] ?10 ?(?:\^|\*\*) ?\(?(?P<ten>-?\d{1,2})\)?)?"
    r"(?:(?: | and )(?P<top>\d{1,9})/(?P<bottom>\d{1,9})(?!\d)| ?/ ?(?P<over>\d{1,9})(?!\d))?"
    r"(?P<half> and a half\b)?"
    r"(?: ?-?(?P<scale>hundred|thousand|million|billion|trillion|dozen|lakh|crore)\b|(?P<k>[kKM])(?![A-Za-z]))?"
)
_POWERS = {"k": 3, "thousand": 3, "lakh": 5, "m": 6, "million": 6, "crore": 7, "billion": 9, "trillion": 12}
_SCALES = {"dozen": 12, "hundred": 100} | {name: 10**power for name, power in _POWERS.items()}
_BIG = r"(?:hours?|hrs?|days?|weeks?|years?|minutes?|mins?|feet|foot|ft|dollars?|pounds?|lbs?|euros?)"
_GOES_ON = re.compile(
    r"[,.'’_ ]\d"  # 18,50 and 1.234.567
    r"|\s*(?:[,;|&]|\.\.|\\(?:lor|vee|cup)\b)[;|&.]*\s*[-+]?\d[\d.]*\s*(?:$|[)\],.;|&]|or\b|and\b)"  # a list
    r"|:(?!00\b)\d|\s?:\s\d"  # a ratio, a time
    r"|\)*\s*(?:\*\*|[-+*/^x])\s*[(]*\s*[-+]?\.?\d|\s*\^|\s*(?:±|\+/-|\\pm)|[⁰¹²³⁴-⁹]"  # a calculation, range, power
    r"|(?:\s+[^\W\d_]+)?\s+(?:times|plus|minus|(?:divided|multiplied) by)\s+[-+]?\.?\d|\s+(?:squared|cubed)\b"
    r"|\s*(?:!=|[<>≠≤≥])\s*\d"
    r"|\s*%?\s+of\s+\d"  # 50% of 36
    r"|(?:\s+[^\W\d_]+){0,2}\s+or\s+(?:[^\W\d_]+\s+){0,2}[-+]?\.?\d|\s+to\s+[-+]?\d"  # one of two
    rf"|\s*[^\W\d_]*\s+and\s+\d|\s*{_BIG}\s+\d+\s*[^\W\d_]"  # 3 hours and 20 minutes
)
_WORDS = (
    "a|about|again|amount|an|answer|approx|approximately|are|around|be|cost|equal|equals|eur|exactly|final|hence|is|just|now|of|only|precisely"
    "|result|roughly|rs|simply|so|sum|the|therefore|thus|to|total|us|usd|value|will|would"
)
_CAME_FROM = re.compile(r"[\d)] ?(?:\*\*|[-+*/^x:]) ?\(?\Z|\d[,.'’_]\Z|\d(?: [^\W\d_]+)? or (?:[^\W\d_]+ )?\Z")
_OPENING = re.compile(rf"(?:[\s:*_~≈\"“”'(\[#=]+|(?:{_WORDS})\b)+", re.IGNORECASE)
_REFUSED = re.compile(
    r"(?i)(?:not|neither|never|either|between|(?:less|more|fewer|greater|higher|lower) than|at least|at"
    r" most|over|under)\b|[<>≤≥≠±]"
)
_EQUATION = re.compile(rf"(?P<equals>(?<!!)[=≈])|(?P<number>{_UNSIGNED})|(?P<sign>[-+*/^]|\bx\b)")


def leading_number(text: str) -> tuple[bool, Fraction | None]:
    """(does the text begin with a number, or with an equation?, the number, None where it is no single one). Of an
    equation the last side that is a number counts: `9 * 2 = 18`, `x = 18, which is 2 more than 16`."""
    begun = False
    value: Fraction | None = None
    for side in _split_sides(type_plainly(text[:LONGEST_PLACE])):
        place = opening.end() if (opening := _OPENING.match(side)) else 0
        if _REFUSED.match(side, place) and re.search(r"\d", side):
            begun = True
        elif found := _NUMBER.match(side, place):
            begun = True
            here = _read_value(found, side)
            value = here if here is not None else value
    return begun, value


def last_number(text: str) -> Fraction | None:
    """The last number of a text, None where there is none, or where it ends in a calculation without its result."""
    last = re.search(r"[\d½⅓⅔¼¾⅕⅛]", text[::-1])
    at = len(text) - last.start() if last else 0
    place = type_plainly(text[max(0, at - LONGEST_PLACE) : at + 40])
    found = ([None, *_NUMBER.finditer(place)])[-1]
    if found is None or _CAME_FROM.search(place[max(0, found.start() - 40) : found.start()]):
        return None
    return _read_value(found, place)


def type_plainly(text: str) -> str:
    """Typographic, LaTeX, emphasis and currency signs as typed on a keyboard, or left out. For short texts."""
    text = text.translate(_SIGNS)
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    return text


def _split_sides(text: str) -> list[str]:
    """The sides of the equation that the text begins with; two numbers in a row end it: `18, as 2 + 3 = 5`."""
    starts, number = [0], False
    for token in _EQUATION.finditer(text):
        if token["equals"]:
            starts.append(token.end())
        elif token["number"] and number:
            break
        number = token["number"] is not None
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _read_value(found: re.Match[str], text: str) -> Fraction | None:
    if len(found["number"]) > LONGEST_NUMBER or _GOES_ON.match(text, found.end()):
        return None
    value = Fraction(re.sub(r"[,'’_ ]", "", found["number"]))
    value *= Fraction(10) ** int(found["e"] or found["ten"] or 0)
    top, bottom, over = (int(found[name] or 0) for name in ("top", "bottom", "over"))
    if (found["bottom"] and not bottom) or (found["over"] and not over):
        return None
    value = value + Fraction(top, bottom) if bottom else value / over if over else value
    value = value + Fraction(1, 2) if found["half"] else value
    value *= _SCALES.get((found["scale"] or found["k"] or "").lower(), 1)
    return -value if "-" in found["sign"] else value
