"""Verify a leaderboard entry: everything that is wrong with a bundle, each in one line that names file and place.

Nothing in a bundle is believed: the files are hashed, the responses judged again and summed up anew (`rejudging.py`),
and each number is compared with every place where it stands. So an edited response is found by its score, or by its
hash, and both need a forger who computes everything anew. `verify_bundle` does so in a process with bounded time and
memory, for whatever a stranger's files make happen.

What it cannot catch: responses that no such policy wrote, if they are judged truthfully; a budget, seed, command or
base model that was forged in every file at once; reference answers, where the items' source is not at hand. For those
an entry has to be run again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from herl_bench.bounded import lower_limit
from herl_bench.comparison.finished_runs import FinishedRun, read_run
from herl_bench.errors import HerlBenchError, NoSandbox, UsageError
from herl_bench.leaderboard import bundle as bundles
from herl_bench.leaderboard.bundle import CLAIMS, FORMAT, LABELS, RESULTS, SAMPLES
from herl_bench.leaderboard.entries import shorten
from herl_bench.leaderboard.rejudging import Referee, as_json, rejudge
from herl_bench.reading import UNREADABLE, read_json
from herl_bench.rubric import digest_rubric
from herl_bench.runs import CONFIG, MANIFEST, METRICS, RunFiles, read_config
from herl_bench.saving import digest_file

SECONDS, MEMORY = 1800.0, 16 << 30
"""What verifying one entry may take: seconds, and bytes of address space in each of its processes."""
MOST = 20
"""Problems that are named per kind and file; the rest are counted."""
LONGEST = 400
"""Characters of a line that names a problem: what stands in a bundle may be of any length."""


def read_claimed_settings(bundle: Path) -> dict[str, Any]:
    """Its config.yaml. Raises `UsageError` for a folder that is no bundle."""
    if not (bundle / CLAIMS).is_file():
        raise UsageError(f"{bundle}: no {CLAIMS} there: name a folder that herl-bench leaderboard bundle wrote")
    if not RunFiles(bundle).exists:
        raise UsageError(f"{bundle}: {CONFIG} is missing: without it nothing can be verified")
    return read_config(bundle)


# ------------------------------------------------------------------------------------------------- in a bounded process
def verify_bundle(
    bundle: Path, find_referee: Callable[[], Referee], seconds: float = SECONDS, memory: int = MEMORY
) -> tuple[list[str], bool]:
    """`find_problems` in a process of its own, where find_referee is called; did the items come from their source?

    A stranger's rubric may hold a pattern that never ends, and a stranger's file whatever fills a memory: time and
    memory are bounded, and running out of either is one problem more. Raises `HerlBenchError` for what is no fault of
    the bundle's, and `UsageError` for what is no bundle.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_verify_here, args=(there, bundle, find_referee, memory))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            why = "a pattern that never ends, or too much of something"
            return [f"verifying it took more than {seconds:g} seconds: {why}"], False
        answer = json.loads(here.recv_bytes())
    except EOFError:
        process.join(10)
        code = process.exitcode or 0
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return [f"verifying it ended by {end}, perhaps for lack of memory"], False
    finally:
        here.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            process.kill()
        process.join()
    if answer["error"]:
        raise {2: UsageError, 3: NoSandbox}.get(answer["code"], HerlBenchError)(answer["error"])
    return answer["problems"], answer["items_checked"]


def _verify_here(pipe: Connection, bundle: Path, find_referee: Callable[[], Referee], memory: int) -> None:
    os.setsid()  # so that whatever it starts ends with it
    lower_limit(resource.RLIMIT_AS, memory)
    answer: dict[str, Any] = {"error": "", "code": 0, "problems": [], "items_checked": False}
    try:
        referee = find_referee()
        answer |= {"problems": find_problems(bundle, referee), "items_checked": referee.items is not None}
    except HerlBenchError as error:
        answer |= {"error": shorten(str(error), LONGEST), "code": error.exit_code}
    except Exception as error:
        answer["problems"] = [shorten(f"cannot be verified: {type(error).__name__}: {error}", LONGEST)]
    pipe.send_bytes(json.dumps(answer).encode())


# ---------------------------------------------------------------------------------------------------------- every check
def find_problems(bundle: Path, referee: Referee) -> list[str]:
    """Everything that is wrong with the entry; empty where nothing is."""
    return [shorten(bundles.strip_bundle(bundle, problem), LONGEST) for problem in _check_all(bundle, referee)]


def _check_all(bundle: Path, referee: Referee) -> Iterator[str]:
    if strange := list(_find_strange_files(bundle)):  # nothing is read through a link, or from what may never end
        yield from strange
        return
    try:
        claims = read_json(bundle / CLAIMS, strict=True)
        hashes, entry, version = dict(claims["files"]), dict(claims["entry"]), claims.get("format")
    except (UsageError, *UNREADABLE) as error:
        yield f"{CLAIMS}: cannot be read: {type(error).__name__}: {error}"
        return
    if version != FORMAT:
        known = f"this version of herl-bench reads {FORMAT}: verify it with the version that wrote it"
        yield f"{CLAIMS}: format is {version!r}, and {known}"
        return
    for name in sorted(set(claims) - {"format", "entry", "files"}):
        yield f"{CLAIMS}: {name}: not part of an entry"
    yield from _check_hashes(bundle, hashes)
    try:
        run = read_run(bundle)
    except UsageError as error:
        yield str(error)
        return
    yield from _guard(CLAIMS, lambda: _compare_claims(entry, as_json(bundles.describe_claims(run))))
    yield from _guard(f"{MANIFEST}, {METRICS} or {CONFIG}", lambda: _check_consistency(run, referee))
    for label in LABELS:
        found = list(_guard(f"eval/{label}", partial(rejudge, bundle, label, referee, run)))
        yield from found[:MOST]
        if len(found) > MOST:
            yield f"… and {len(found) - MOST} more like these"


def _guard(where: str, check: Callable[[], Iterator[str]]) -> Iterator[str]:
    """A forger's file may have any shape; one that a check cannot go through is a problem like others."""
    try:
        yield from check()
    except UsageError as error:
        yield str(error)
    except UNREADABLE as error:
        yield f"{where}: not as a run writes it: {type(error).__name__}: {error}"


def _find_strange_files(bundle: Path) -> Iterator[str]:
    for path in sorted(bundle.rglob("*")):
        if path.is_symlink():
            yield f"{path.relative_to(bundle)}: a link: a bundle holds its files itself"
        elif not (path.is_file() or path.is_dir()):
            yield f"{path.relative_to(bundle)}: neither a file nor a folder"


def _check_hashes(bundle: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    present = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {CLAIMS}
    for name in sorted(hashes):
        if name not in present:
            yield f"{name}: missing"
        elif digest_file(bundle / name) != hashes[name]:
            yield f"{name}: changed since it was bundled (sha256 differs)"
        elif not bundles.PARTS.fullmatch(name):
            yield f"{name}: not part of a bundle, although {CLAIMS} lists it"
    for name in sorted(present - set(hashes)):
        yield f"{name}: not part of the bundle ({CLAIMS} does not list it)"
    for label in LABELS:
        for pattern in (RESULTS, SAMPLES):
            if len(found := sorted(path.name for path in RunFiles(bundle).evaluation(label).glob(pattern))) > 1:
                yield f"eval/{label}: one file of each kind, not {' and '.join(found)}"


def _compare_claims(entry: Mapping[str, Any], actual: Mapping[str, Any], where: str = "entry") -> Iterator[str]:
    """Each value of bundle.json against the run's files."""
    for name in sorted({*entry, *actual}):
        claimed, found = entry.get(name), actual.get(name)
        if isinstance(claimed, dict) and isinstance(found, dict):
            yield from _compare_claims(claimed, found, f"{where}.{name}")
        elif json.dumps(claimed, sort_keys=True) != json.dumps(found, sort_keys=True):  # which tells 0 from false
            yield f"{CLAIMS}: {where}.{name} is {claimed!r}, the run's files say {found!r}"


def _check_consistency(run: FinishedRun, referee: Referee) -> Iterator[str]:
    """What one file of the run says against another."""
    manifest, settings, rows, rubric = run.manifest, run.settings, run.rows, referee.environment.rubric
    if manifest.get("rubric", None) not in (None, {"name": rubric.name, "sha256": digest_rubric(rubric)}):
        differ = "its criteria differ"
        yield f"{MANIFEST}: the run was judged by another rubric than {rubric.name} as it is here: {differ}"
    items = manifest["data"].get("eval_items")
    if items != len(run.after.samples):
        yield f"{MANIFEST}: data.eval_items is {items!r}, the samples are {len(run.after.samples)}"
    for place, name, key in (("base_model", "name", "model"), ("data", "source", "data")):
        if (stated := manifest[place].get(name)) != settings[key]:
            yield f"{MANIFEST}: {place}.{name} is {stated!r}, {CONFIG} says {settings[key]!r}"
    for name in bundles.COUNTS:
        if not all(type(row[name]) is int and row[name] >= 0 for row in rows):
            yield f"{METRICS}: {name} is not a whole number in every step"
        elif any(later[name] < earlier[name] for earlier, later in pairwise(rows)):
            yield f"{METRICS}: {name} falls from one step to a later one"
    longest = int(run.after.generation["max_gen_toks"])
    lengths = [row["response_tokens"] for row in rows if "response_tokens" in row]
    possible = (type(length) in (int, float) and 0 <= length <= longest for length in lengths)
    if len(lengths) not in (0, len(rows)) or not all(possible):
        yield f"{METRICS}: response_tokens is not between 0 and {longest}, the longest answer, in every step"
    if rows[-1]["tokens"] > 1.1 * int(settings["budget"]) + longest:
        yield f"{METRICS}: {rows[-1]['tokens']:,} tokens were spent, {CONFIG} allows {settings['budget']:,}"
