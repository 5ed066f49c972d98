"""Real runs and their bundles, made once."""

import shutil

import pytest
from helpers.commands import run_command
from helpers.entries import BAD_ENTRIES, SMALL, rehash

from herl_bench.testing import tiny_checkpoint


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """`runs/` with a run of each method, `entries/` with a bundle of each."""
    cwd = tmp_path_factory.mktemp("leaderboard")
    model = tiny_checkpoint(cwd / "llama")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    for method in ("ppo", "herl"):
        done = run_command(
            "run",
            "--task",
            "gsm8k",
            "--method",
            method,
            "--model",
            model,
            "--data",
            "synthetic",
            "--budget",
            "400",
            *settings,
            cwd=cwd,
        )
        assert done.returncode == 0, done.stderr
        made = run_command("leaderboard", "bundle", f"runs/gsm8k-{method}-s0", "-o", f"entries/{method}", cwd=cwd)
        assert made.returncode == 0, made.stderr
    return cwd


@pytest.fixture
def entry(place, tmp_path):
    return shutil.copytree(place / "entries" / "herl", tmp_path / "entry")


@pytest.fixture(scope="session")
def crowd(place, tmp_path_factory):
    """A sound entry among all of `BAD_ENTRIES`, with every hash made anew."""
    folder = tmp_path_factory.mktemp("crowd")
    shutil.copytree(place / "entries" / "ppo", folder / "00-sound")
    for number, tamper in enumerate(BAD_ENTRIES.values(), 10):
        entry = shutil.copytree(place / "entries" / "ppo", folder / f"{number}-bad")
        tamper(entry)
        if tamper is not BAD_ENTRIES["no claims"] and tamper is not BAD_ENTRIES["claims of NaN"]:
            for path in sorted(entry.rglob("*")):
                if (
                    not path.is_symlink()
                    and path.is_file()
                    and path.name != "bundle.json"
                    and path.stat().st_size < 1 << 20
                ):
                    rehash(entry, str(path.relative_to(entry)))
    return folder
