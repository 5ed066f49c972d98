"""Which module may import which, and what a command may load."""

import ast
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent

# A module imports only from its own unit and from those to its left; type annotations alone may look to the right.
ORDER = [
    "errors", "plain_text", "reading", "patterns", "bounded", "templates", "types", "answers", "locate", "hookspecs", "rubric", "plugins", "saving",
    "locking", "budget", "settings", "hindsight", "sandbox", "data", "policy", "train",
    "evaluate", "compare", "runs", "manifest", "builtin", "testing", "cli", "__main__",
]  # fmt: skip
MEETS_THE_HOST = {"cli", "manifest", "evaluate.bridge"}  # the last is a door of its own: lm-eval calls it by name
HEAVY = {"torch", "transformers", "trl", "lm_eval", "datasets", "accelerate", "scipy", "numpy", "pyarrow", "huggingface_hub", "httpx2"}


def imported(path):
    """(module, line) of everything a file imports at run time, inside functions too."""

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from (found for other in child.orelse for found in walk(other))
                continue
            if isinstance(child, ast.ImportFrom) and child.module and not child.level:
                yield from ((f"{child.module}.{alias.name}", child.lineno) for alias in child.names)
            elif isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno) for alias in child.names)
            yield from walk(child)

    return list(walk(ast.parse(path.read_text(encoding="utf-8"))))


def unit(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ORDER else None


CORE = sorted((ROOT / "herl_bench").rglob("*.py"))
BUILT_IN = sorted((ROOT / "plugins").rglob("*.py"))


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_module_has_its_place():
    assert {unit(dotted(p)) or p.name for p in CORE} <= {*ORDER, "__init__.py"}


def test_modules_import_only_to_their_left():
    wrong = []
    for path in CORE:
        here = unit(dotted(path))
        if here is None:
            continue
        for module, line in imported(path):
            there = unit(module) if module.startswith("herl_bench.") else None
            if there and ORDER.index(there) > ORDER.index(here):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert wrong == []


def test_only_the_command_line_meets_the_plugin_host():
    meeting = {
        dotted(path).removeprefix("herl_bench.")
        for path in CORE
        if any(module.startswith("herl_bench.plugins") for module, _ in imported(path))
    }
    assert {name for name in meeting if name.split(".")[0] not in MEETS_THE_HOST and name not in MEETS_THE_HOST} == set()


def test_the_core_knows_no_built_in_plugin():
    assert [(p.name, m) for p in CORE for m, _ in imported(p) if m.startswith("herl_bench_")] == []


def test_built_in_plugins_use_the_public_door():
    """What anybody's plugin may import: the package itself, and its documented modules."""
    public = {"answers", "errors", "hookspecs", "locate", "reading", "rubric", "sandbox", "types"}
    names = {p.name for p in (ROOT / "plugins").glob("*/herl_bench_*")}
    assert names == {"herl_bench_gsm8k", "herl_bench_humaneval", "herl_bench_bbh"}
    for path in BUILT_IN:
        own = next(part for part in path.parts if part.startswith("herl_bench_"))
        for module, line in imported(path):
            place = f"{path.relative_to(ROOT)}:{line} imports {module}"
            if module.startswith("herl_bench_"):
                assert module.startswith(own), place
            elif module.startswith("herl_bench.") and unit(module):
                assert unit(module) in public, place


@pytest.mark.parametrize(
    "arguments", [["ls"], ["plugins"], ["ls", "tasks"], ["--help"], ["run", "--help"], ["compare", "--help"], ["schema"], ["tasks", "path"]]
)
def test_what_only_looks_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom herl_bench.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.strip()
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["ls"], ["plugins"]])
def test_they_answer_in_under_half_a_second(arguments):
    """Processor time, which other programs on the machine do not change; the median of five."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "herl_bench", *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert median(seconds() for _ in range(5)) < 0.5
