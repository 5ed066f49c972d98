import pytest

from herl_bench.bounded import Failed, TooMuch, run_bounded


def test_what_is_bounded_comes_back_as_it_is():
    assert run_bounded(lambda: ["\ud800", "数"], seconds=5, megabytes=200) == ["\ud800", "数"]
    with pytest.raises(Failed, match="ZeroDivisionError"):
        run_bounded(lambda: 1 / 0, seconds=5, megabytes=200)
    for hog in (lambda: "a" * (1 << 33), lambda: list(range(1 << 30)), lambda: sum(1 for _ in iter(int, 1))):
        with pytest.raises(TooMuch, match="1 s of processor time or 200 MiB of memory"):
            run_bounded(hog, seconds=1, megabytes=200)
    with pytest.raises(TooMuch):
        run_bounded(lambda: "a" * 10_000, seconds=5, megabytes=200, most=1_000)
