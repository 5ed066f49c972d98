"""A site of bundles, in a real browser too."""

import shutil

from helpers.browser import needs_chromium, visit
from helpers.commands import run_command
from helpers.entries import BAD_ENTRIES, a_run, edit

from herl_bench.leaderboard.ranking import rank_entries
from herl_bench.leaderboard.site import build_site
from herl_bench.leaderboard.tables import to_html


def test_a_published_page_names_no_folder_of_the_machine(place, tmp_path):
    entries = shutil.copytree(place / "entries", tmp_path / "entries")
    assert not any(str(place) in path.read_text() for path in entries.rglob("*") if path.is_file())
    build_site(entries, tmp_path / "site", lambda bundle: ([], True))
    assert not any(str(place) in page.read_text() for page in (tmp_path / "site").iterdir())
    html = to_html(rank_entries([a_run("a", 0, 50, source="/home/me/secret/gsm8k")]))
    assert "/home/me" not in html
    assert "gsm8k" in html


@needs_chromium
def test_the_site_opens_from_disk_and_leaves_out_what_is_forged(place, tmp_path):
    entries = shutil.copytree(place / "entries", tmp_path / "entries")
    edit(entries / "ppo" / "bundle.json", lambda said: said["entry"]["spent"].update(tokens=1))
    done = run_command("leaderboard", "build", entries, "-o", tmp_path / "site", "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 1
    assert "ppo: bundle.json: entry.spent.tokens is 1" in done.stderr

    async def steps(page):
        text = await page.js("document.body.innerText")
        assert "Not ranked" in text
        assert "entry.spent.tokens is 1" in text
        await page.js("document.querySelector('a[href^=\"entry-\"]').click()")

    page = visit(tmp_path / "site" / "index.html", tmp_path, steps)
    assert page.problems == []
    assert {p.name for p in (tmp_path / "site").iterdir()} == {"index.html", "task-gsm8k.html", "entry-1.html"}

    async def listed(page):
        assert await page.js("document.querySelector('#samples .count').textContent") == "8 of 8 responses"

    page = visit(tmp_path / "site" / "entry-1.html", tmp_path, listed)
    assert page.problems == []
    assert page.requests == [(tmp_path / "site" / "entry-1.html").as_uri()]


def test_a_site_is_built_of_what_is_sound_whatever_lies_beside_it(crowd, tmp_path):
    """The real command, so that processes and their limits are the real ones."""
    done = run_command(
        "leaderboard", "build", crowd, "-o", tmp_path / "site", "--jobs", 1, "--time_limit", 20, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for number, what in enumerate(BAD_ENTRIES, 10):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{crowd}/{number}-bad: ")]
        assert lines, what
        assert all(line.isprintable() and len(line) < 600 for line in lines), what
    assert not any("00-sound: " in line for line in done.stderr.splitlines() if line.startswith(f"{crowd}/00"))
    index = (tmp_path / "site" / "index.html").read_text()
    assert "entry-1.html" in index
    assert {p.name for p in (tmp_path / "site").iterdir()} == {"index.html", "task-gsm8k.html", "entry-1.html"}
