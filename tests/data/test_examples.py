import math

import pytest

from herl_bench.data.examples import check_examples, digest_items, find_fault, read_examples
from herl_bench.errors import DataError
from herl_bench.types import Example

SOUND = Example("1", "2 + 2 =", "4", {"terms": [2, 2]})


@pytest.mark.parametrize(
    ("example", "fault"),
    [
        (SOUND, ""),
        ("2 + 2 =", "not an Example, but str"),
        (Example(1, "p", "t"), "id is a int, not text: write str(…)"),
        (
            Example("1", "p", "t", {"sound": 1, "when": {2}}),
            "info['when'] cannot be written as JSON: Object of type set",
        ),
        (Example("1", "p", "t", {"x": math.nan}), "info['x'] cannot be written as JSON: Out of range float"),
        (Example("1", "p", "t", 3), "info cannot be written as JSON: 'int' object is not iterable"),
    ],
)
def test_what_no_file_could_hold_is_named(example, fault):
    assert find_fault(example).startswith(fault)
    assert bool(find_fault(example)) == bool(fault)


def test_an_id_stands_once():
    check_examples([SOUND], "sums (eval)")
    with pytest.raises(DataError, match=r"sums \(eval\): the id '1' occurs twice"):
        check_examples([SOUND, SOUND], "sums (eval)")


def test_every_field_counts_in_the_digest():
    others = [Example("2", "2 + 2 =", "4", SOUND.info), Example("1", "2 + 2 =", "4", {"terms": [2, 3]})]
    assert len({digest_items([e]) for e in [SOUND, *others]}) == 3


def test_what_the_operating_system_says_of_a_file_is_one_line(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for name, words in (("gone", "No such file or directory"), ("latin", r"not UTF-8 text \(byte 3\)")):
        with pytest.raises(DataError, match=f"cannot read sums.*: {words}"):
            read_examples((tmp_path / name).read_text, "sums")
