"""Cells on disk: whose folder it is, and how far a run has come."""

from pathlib import Path

import pytest

from herl_bench.errors import UsageError
from herl_bench.sweep.cells import Cell, count_tokens, find_difference, prepare_cells

CONFIG = "task: gsm8k\nbudget: 400\nset: {learning_rate: 0.1}\n"


def make_cell(folder: Path, config: str = CONFIG) -> Cell:
    return Cell("gsm8k", "herl", 0, 400, config, folder / "runs" / "gsm8k-herl-s0")


def test_a_folder_gets_its_configuration_once_and_keeps_it(tmp_path: Path):
    cell = make_cell(tmp_path)
    prepare_cells([cell])
    assert cell.files.config.read_text() == CONFIG
    prepare_cells([cell])
    with pytest.raises(UsageError, match=r"was made with learning_rate=0\.1, and this asks for 0\.2: choose another"):
        prepare_cells([make_cell(tmp_path, CONFIG.replace("0.1", "0.2"))])
    assert cell.files.config.read_text() == CONFIG


def test_what_an_older_version_did_not_write_had_the_default():
    assert find_difference(CONFIG, CONFIG + "integrity: shared\n") == ""
    assert find_difference(CONFIG, CONFIG + "integrity: split\n") == "integrity=shared, and this asks for split"


def test_a_method_s_setting_that_one_side_lacks_is_not_called_none():
    newer = CONFIG.replace("0.1}", "0.1, revise: cut}")
    assert find_difference(CONFIG, newer) == "no record of revise, and this asks for cut"
    assert find_difference(newer, CONFIG) == "revise=cut, and this has no such setting"
    assert find_difference(CONFIG, CONFIG.replace("0.1}", "0.1, revise: null}")) == ""


@pytest.mark.parametrize(
    ("log", "tokens"),
    [
        ("", 0),
        ('{"tokens": 7}\n', 7),
        ('{"tokens": 7}\n{"tokens": 12}\n{"tok', 12),
        ('{"tokens": 7}', 0),
        ("[]\n", 0),
        ("{" + " " * 50_000 + '"tokens": 3}\n{"tokens": 9}\n', 9),
    ],
)
def test_tokens_are_those_of_the_last_whole_row(tmp_path: Path, log: str, tokens: int):
    cell = make_cell(tmp_path)
    assert count_tokens(cell) == 0
    prepare_cells([cell])
    cell.files.metrics.write_text(log)
    assert count_tokens(cell) == tokens
