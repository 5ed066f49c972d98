"""What tester and candidate agree on: the messages, the words in them and the limits of what is remembered. Data only.

Requests of the tester, and what the candidate answers; each answer ends with a piece of what the program printed:

    ["load", code, names]                     ["loaded", {name: value}] or ["loaderror", exception]
    ["run", code]                             ["ended", exception or null, exit status]
    ["do", operation, arguments, keywords]    ["ret", value, changes], ["exc", exception, changes]
                                              or ["bad", why, changes]

While it works on a "do" the candidate may call a function of the tests, ["cb", number, arguments, keywords, changes],
which is answered by ["ok", value, changes] or ["raise", exception]. Values are as `codec.py` spells them; changes are
the containers that both sides have and one of them changed.
"""

from __future__ import annotations


class Unsendable(Exception):
    """The value is no plain data."""


class BadValue(Exception):
    """The message does not spell a value."""


OF_TESTS = "<tests>"  # the module of their exception classes, as the program has them
OWN_MODULE = "program"  # the module of the classes which a program defines

OUTPUT_CAP = 64 << 10  # bytes of what a program prints: enough to see what went wrong, too little to fill a disk with
TEXT_CAP = 500  # letters of an exception's text
TAKE_AT_MOST = 256  # items of an iterator in one message
LENT_AT_ONCE = 16  # containers that tests and program have in common: each is looked at after every call

COMPARISONS = "eq ne lt le gt ge"
BINARY = "add sub mul truediv floordiv mod pow matmul lshift rshift and or xor divmod"
OPERATORS = " ".join(kind + word for kind in ("", "r", "i") for word in BINARY.split())
SPECIAL = (
    f"{COMPARISONS} {OPERATORS} neg pos invert abs round trunc floor ceil int float complex index len bool iter next"
    " reversed getitem setitem delitem contains bytes fspath length_hint enter exit aiter anext aenter aexit"
    " dataclass_fields"
)
ERROR_PARTS = (
    *("__cause__", "__context__", "__suppress_context__", "__notes__"),
    *("filename", "filename2", "name", "path", "obj"),
)
PURE_FUNCTIONS = (
    "abs all any len max min sorted sum round pow divmod hash ord chr repr reversed enumerate zip map filter"
)


def spell_dunders(words: str) -> list[str]:
    return [f"__{word}__" for word in words.split()]
