"""Strangers' files: each ends in a value or in one line, within time and memory."""

import gzip
import json
import os
import time

import pytest

from herl_bench.errors import DataError, UsageError
from herl_bench.reading import DEPTH, DIGITS, parse_json, parse_yaml, read_json, read_json_lines, read_text, read_yaml

LAUGHS = "a: &a [l,l,l,l,l,l,l,l,l]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    LAUGHS: "more than 20,000 values",
    "a: &a {x: 1}\n"
    + "".join(
        f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ): "more than 20,000",
    "a: [" + "1," * 30_000 + "]": "more than 20,000 values",
    "a: &a\n  - *a\n": "line 2, column 5: the alias *a stands inside of what it names",
    "a: &a {b: {c: *a}}\n": "the alias *a stands inside",
    "[" * 30_000: "more than 50 levels deep",
    "{a: " * 3_000: "more than 50 levels deep",
    "- " * 3_000: "more than 50 levels deep",
    "? " * 3_000: "more than 50 levels deep",
    "a: " + "9" * 5_000: "line 1, column 4: a number of more than 300 digits",
    "a: 0x" + "f" * 5_000: "a number of more than 300 digits",
    "a: 1" + ":59" * 20_000: "a number of more than 300 digits",
    "a: 0b_": "'0b_' is no int",
    "a: !!int abc": "line 1, column 4: 'abc' is no int",
    "a: !!float abc": "'abc' is no float",
    "a: !!bool abc": "'abc' is no bool",
    "a: !!timestamp 2020-01-01": "the tag 'tag:yaml.org,2002:timestamp' is not read here",
    "a: !!binary aGVsbG8=": "the tag 'tag:yaml.org,2002:binary' is not read here",
    "a: !!set {b, c}": "is not read here",
    "a: !!python/name:os.system": "the tag 'tag:yaml.org,2002:python/name:os.system' is not read here",
    "!!python/object/apply:os.system ['touch owned']": "is not read here",
    "a: 1\nb: 2\na: 3\n": "line 3, column 1: the key 'a' stands twice",
    "a: {b: 1, b: 1}": "the key 'b' stands twice",
    "? [a]\n: 1\n": "unhashable",
    "a: \0": "special characters are not allowed",
    "a: \x1b[2J": "special characters are not allowed",
    "a: 1\n---\nb: 2\n": "another document",
    "<<: 5\n": "merging",
    "a: *b": "undefined alias",
    "x" * (1 << 19): "longer than 256 KiB",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:24]))
def test_yaml_that_harms_is_one_line(text):
    began = time.process_time()
    with pytest.raises(UsageError) as told:
        parse_yaml(text, "f.yaml")
    assert str(told.value).startswith("f.yaml: not valid YAML: ")
    assert REFUSED[text] in str(told.value)
    assert "\n" not in str(told.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 2023-13-45\nb: 2024-01-01", {"a": "2023-13-45", "b": "2024-01-01"}),
        (
            "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, y: 3}\nd: *b\n",
            {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2, "y": 3}, "d": {"x": 2}},
        ),
        ("a: 5.0e-5\nb: yes\nc: 200k\nd: ~\ne: 0x10", {"a": 5e-05, "b": True, "c": "200k", "d": None, "e": 16}),
    ],
)
def test_honest_yaml_is_read(text, value):
    assert parse_yaml(text, "f.yaml") == value


def test_a_yaml_file_may_have_a_mark_and_any_line_ends(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(tmp_path / "f.yaml") == {"a": 1, "b": 2}
    (tmp_path / "g.yaml").write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(UsageError, match="cannot read the rubric: not UTF-8 text"):
        read_yaml(tmp_path / "g.yaml", "the rubric")


# ----------------------------------------------------------------------------------------------------------------- JSON
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, "more than 100 levels deep"),
        ("[" * 400 + "]" * 400, "more than 100 levels deep"),
        ('{"a":' * 101 + "1" + "}" * 101, "more than 100 levels deep"),
        ("9" * 5_000, "a number of more than 300 digits"),
        ("-" + "9" * 400, "a number of more than 300 digits"),
        ('{"a": 1', "not JSON, perhaps cut off"),
        ("", "not JSON, perhaps cut off"),
        ("{'a': 1}", "not JSON, perhaps cut off"),
    ],
)
def test_json_that_harms_is_one_line(text, said):
    with pytest.raises(DataError, match=rf"^f:3: .*{said}"):
        parse_json(text, "f:3")
    with pytest.raises(DataError, match=said):
        parse_json(text.encode(), "f:3", strict=True)


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", '{"a": NaN}', '{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]']
)
def test_strict_json_is_as_we_write_it(text):
    parse_json(text, "f")
    with pytest.raises(DataError, match=r"not finite|stands twice"):
        parse_json(text, "f", strict=True)


def test_as_deep_and_as_long_as_allowed():
    deep = json.loads("[" * DEPTH + "]" * DEPTH)
    assert parse_json("[" * DEPTH + "]" * DEPTH, "f") == deep
    assert parse_json("9" * DIGITS, "f") == 10**DIGITS - 1
    assert parse_json(b"\xef\xbb\xbf[]", "f") == []


def test_json_is_utf8_and_nothing_else():
    for encoding in ("utf-16", "utf-32", "latin-1"):
        with pytest.raises(DataError, match="not UTF-8 text"):
            parse_json('{"é": 1}'.encode(encoding), "f")


# ----------------------------------------------------------------------------------------------------------- JSON lines
ROWS = b"".join(b'{"id": "%d", "x": "%s"}\n' % (i, os.urandom(30).hex().encode()) for i in range(2_000))


def read(path, data):
    path.write_bytes(data)
    return list(read_json_lines(path))


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    assert read(tmp_path / "f.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": 2}') == [(1, {"a": 1}), (4, {"a": 2})]
    assert len(read(tmp_path / "f.jsonl.gz", gzip.compress(ROWS))) == 2_000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (ROWS[:2_000] + b"\n" + b"[" * 100_000 + b"\n", r"f.jsonl:\d+: .*(levels deep|not JSON)"),
        (b'{"a": 1}\n\0\0\0\0\n', "f.jsonl:2: not JSON"),
        (b'{"a": 1}\n{"a": "\xff"}\n', "f.jsonl:2: not UTF-8 text"),
        (b'{"a": 1}\n{"a"', "f.jsonl:2: not JSON, perhaps cut off"),
    ],
)
def test_a_bad_line_is_named(tmp_path, data, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path / "f.jsonl", data)


def test_a_damaged_gz_is_one_line(tmp_path):
    whole = gzip.compress(ROWS, mtime=0)
    for data in (whole[:-20], whole[:100], b"no gz", whole[:-6] + b"\1\2\3\4\5\6"):
        with pytest.raises(DataError, match=r"f.jsonl.gz:\d+: (cannot be (read|unfolded)|not JSON)"):
            read(tmp_path / "f.jsonl.gz", data)
    outcomes = set()
    for at in range(10, len(whole), len(whole) // 60):
        try:
            told = str(len(read(tmp_path / "f.jsonl.gz", whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])))
        except DataError as error:
            told = str(error)
        outcomes.add("error" if "f.jsonl.gz:" in told else told)
    assert outcomes in ({"error"}, {"error", "2000"})  # a bit of the header may say nothing


@pytest.mark.parametrize("bomb", [b" " * (70 << 20), (b'"' + b" " * 4094 + b"\n") * (5 << 12), b'"x' * (40 << 20)])
def test_a_bomb_is_read_no_further_than_its_limit(tmp_path, bomb):
    began = time.process_time()
    with pytest.raises(
        DataError,
        match=r"f.jsonl.gz:\d+: (unfolds to more than 200 times its size|a line of more than 64 MiB|not JSON)",
    ):
        read(tmp_path / "f.jsonl.gz", gzip.compress(bomb, 6))
    assert time.process_time() - began < 20


def test_what_is_no_file_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "gone", tmp_path / ("x" * 300), "nul\0name"):
        with pytest.raises(UsageError, match="cannot read the file"):
            read_text(path)
    with pytest.raises(DataError):
        read_json(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="longer than 1 KiB"):
        read_text("/dev/zero", most=1024)
