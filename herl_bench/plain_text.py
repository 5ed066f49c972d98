"""Make text harmless where it leaves us: terminals, Markdown, CSV. (HTML pages escape every value in their templates.)

What a model, a server or somebody's file says is data: inside the program it stays as it is; only the shown changes.
"""

from __future__ import annotations

import re

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_DIRECTION}]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|!~#])")
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")


def neutralize(text: str) -> str:
    """Controls as pictures (␀ … ␡), direction overrides and lone surrogates as code points; not line ends and tabs."""

    def sign(match: re.Match[str]) -> str:
        code = ord(match[0])
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"[U+{code:04X}]"

    return _CONTROL.sub(sign, text)


def flatten(text: str) -> str:
    """`neutralize`, and without line breaks or runs of spaces."""
    return neutralize(" ".join(text.split()))


def escape_json(text: str) -> str:
    """JSON that says the same with escapes for what `neutralize` would change."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_markdown(text: str) -> str:
    """One line that Markdown shows as it stands: no markup, no HTML, no link that a program makes or fetches itself."""
    escaped = _MARKDOWN.sub(r"\\\1", flatten(text)).replace("&", "&amp;")
    return _ADDRESS.sub(lambda found: found[1] + ("&#58;" if found[2] == ":" else "&#46;"), escaped)


def escape_csv(text: str) -> str:
    """One line that a spreadsheet takes for text: an apostrophe goes before `=`, `+`, `-`, `@`, which calculate."""
    flat = flatten(text)
    return f"'{flat}" if flat.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")) else flat
