"""The tests lie where the code lies: `tests/X/test_y.py` tests `herl_bench/X/y.py`, and so for plugins and benchmarks.

`tests/X/test_x.py` tests the folder as a whole, and `test_task.py` of a plugin its package. What goes through several
folders, as a user does, lies in `tests/journeys`; what tests share lies in `tests/helpers`.
"""

from pathlib import Path

import pytest
from helpers.source import ROOT

TESTS = ROOT / "tests"
FREE = {"helpers", "journeys", "real", "sandbox"}  # the sandbox's tests are named after what it withstands
PROJECT = {"docs", "imports", "layout", "packaging", "public"}
"""About the project, not about a module of it."""
ELSEWHERE = {
    "benchmarks/forecast": "benchmarks/science/forecast.py",
    "evaluation/pass_at_k": "herl_bench/evaluation/scores.py",
    "examples/notebook": "examples/compare_two_seeds.ipynb",
    "examples/reasoning_gym": "examples/plugins/herl-bench-reasoning-gym",
    "plugins/bbh/real_answers": "plugins/bbh/herl_bench_bbh/checks.py",
    "plugins/gsm8k/answers": "plugins/gsm8k/herl_bench_gsm8k/checks.py",
    "plugins/humaneval/policy": "plugins/humaneval/herl_bench_humaneval/policy",
    "plugins/humaneval/real_answers": "plugins/humaneval/herl_bench_humaneval/checks.py",
    "sweep/ray": "herl_bench/sweep",
}
"""Named after a part of what they test."""
FILES = [path for path in sorted(TESTS.rglob("test_*.py")) if path.relative_to(TESTS).parts[0] not in FREE]


def find_tested(test: Path) -> list[Path]:
    """Where the code may lie."""
    folder, name = test.relative_to(TESTS).parent, test.stem.removeprefix("test_")
    known = ELSEWHERE.get(f"{folder.as_posix()}/{name}")
    if known:
        return [ROOT / known]
    if folder.parts[:1] == ("benchmarks",):
        places = [ROOT / folder / name]
    elif folder.parts[:1] == ("plugins",):
        package = ROOT / folder / f"herl_bench_{folder.name}"
        places = [package / name, *([package / "__init__"] if name == "task" else [])]
    else:
        places = [ROOT / "herl_bench" / folder / name, *([ROOT / "herl_bench" / folder] if name == folder.name else [])]
    return [found for place in places for found in (place.with_suffix(".py"), place)]


@pytest.mark.parametrize("test", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_test_lies_where_its_module_lies(test: Path) -> None:
    if test.parent == TESTS and test.stem.removeprefix("test_") in PROJECT:
        return
    assert any(place.exists() for place in find_tested(test)), f"no {find_tested(test)[0].relative_to(ROOT)}"


def test_no_test_takes_anything_from_another() -> None:
    for path in TESTS.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.startswith(("from test_", "import test_", "from conftest")), f"{path.name}: {line}"
