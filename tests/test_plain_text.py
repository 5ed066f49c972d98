"""Text at the door: what may not reach a terminal, a Markdown page or a spreadsheet."""

import csv
import io
import json

import pytest

from herl_bench.cli.output import Stream, open_console, show_table
from herl_bench.plain_text import escape_csv, escape_json, escape_markdown, flatten, neutralize

HOSTILE = {
    "\x1b[2J\x1b[H": "␛[2J␛[H",
    "\x1b]0;title\x07": "␛]0;title␇",
    "\x9b31m": "[U+009B]31m",
    "a\rb": "a␍b",
    "a\bb\x7f": "a␈b␡",
    "\u202egnp.exe": "[U+202E]gnp.exe",
    "\u2066x\u2069\u200f": "[U+2066]x[U+2069][U+200F]",
    "\ud800": "[U+D800]",
    "\u2028": "[U+2028]",
    "\0": "␀",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_moves_a_cursor_or_turns_a_line_round_is_shown_as_signs(text):
    assert neutralize(text) == HOSTILE[text]
    neutralize(text).encode()


def test_ordinary_text_stays_as_it_is():
    for text in ("line\n\tindented", "naïve 数学 🙂", "a < b & c | d", ""):
        assert neutralize(text) == text
    assert flatten(" a\n\n b\tc ") == "a b c"


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://e.vil/?q)",
        "<script>alert(1)</script>",
        "[a](javascript:x)",
        "a | b",
        "`code` *b* _i_ ~s~",
        "# head",
        "&lt;img&gt;",
        "<http://x>",
        "a\n\n# b",
    ],
)
def test_markdown_shows_a_cell_as_it_stands(text):
    cell = escape_markdown(text)
    for sign in "[]<>|`*_#!":
        assert cell.count(sign) == cell.count(f"\\{sign}") + (cell.count("&#") if sign == "#" else 0)
    assert "\n" not in cell
    assert "http:" not in cell and "&lt;" not in cell.replace("&amp;lt;", "")  # noqa: PT018


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "＝1", "\t=1", "\r\n=1", " =1"])
def test_a_spreadsheet_calculates_nothing(text):
    out = io.StringIO()
    csv.writer(out).writerow([escape_csv(text)])
    (read,) = next(csv.reader(io.StringIO(out.getvalue())))
    assert read.startswith("'")
    assert escape_csv("plain = text") == "plain = text"


def test_a_table_takes_words_for_words(capsys):
    from rich.table import Table

    table = Table(title="[bold]t[/nope] \x1b[2J")
    table.add_column("\x1b]0;c\x07")
    table.add_row("[/red] :smile: \u202e")
    open_console(width=80).print(table)
    out = capsys.readouterr().out
    assert "[bold]t[/nope] ␛[2J" in out
    assert "[/red] :smile: [U+202E]" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("width", "turned"), [(70, False), (40, True), (25, False)])
def test_a_table_that_is_too_wide_shows_its_rows_as_columns(capsys, width, turned):
    from rich.table import Table

    table = Table(*["", *(f"column {i}" for i in range(5))], title="t")
    for name in ("ppo", "herl"):
        table.add_row(name, *(f"0.12{i}" for i in range(5)))
    show_table(open_console(width=width), table)
    out = capsys.readouterr().out
    assert ("│ column 4 │ 0.124 │ 0.124 │" in out) == turned
    assert ("…" in out) == (width == 25)


def test_the_streams_let_nothing_through_but_what_draws():
    class Terminal(Stream):
        def isatty(self):
            return True

    written = {}
    for kind in (Stream, Terminal):
        raw = io.BytesIO()
        stream = kind(raw, encoding="utf-8", write_through=True)
        stream.write("a\x1b]0;t\x07 \x1b[31mred\x1b[0m \x1b[2K\x1b[6n\r\x9b5m \u202e\n")
        written[kind] = raw.getvalue().decode()
    assert written[Stream] == "a␛]0;t␇ ␛[31mred␛[0m ␛[2K␛[6n\r[U+009B]5m [U+202E]\n"
    assert written[Terminal] == "a␛]0;t␇ \x1b[31mred\x1b[0m \x1b[2K␛[6n\r[U+009B]5m [U+202E]\n"


def test_json_says_the_same_without_control_characters():
    value = {"a\x7f": "\u202e\x9b\x1b \u2028\ud800 é数"}
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert neutralize(text) == text
    assert "é数" in text
