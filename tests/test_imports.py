"""Which module may import which, and what a command may load."""

import resource
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from helpers.source import BUILT_IN, CORE, ROOT, find_imports

# A module imports only from its own room and from rooms above it, inside functions and for type annotations too.
ORDER = [
    *("errors", "plain_text", "conversation", "reading", "patterns", "bounded", "templates", "types", "answers"),
    *("locate", "hookspecs"),
    *("rubric", "plugins", "saving", "locking", "budget", "settings", "hindsight", "sandbox", "data", "policy"),
    *(
        "evaluation",
        "runs",
        "training",
        "comparison",
        "sweep",
        "report",
        "leaderboard",
        "builtin",
        "progress",
        "experiment",
    ),
    *("testing", "cli", "__main__"),
]
MEETS_THE_HOST = {"cli", "experiment", "sweep", "evaluation.lm_eval_tasks"}  # lm-eval calls the last one by name
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "lm_eval",
    "datasets",
    "accelerate",
    "scipy",
    "numpy",
    "pyarrow",
    "huggingface_hub",
    "httpx2",
}


def unit(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ORDER else None


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_module_has_its_place():
    assert {unit(dotted(p)) or p.name for p in CORE} <= {*ORDER, "__init__.py"}


def test_modules_import_only_from_rooms_above():
    wrong = []
    for path in CORE:
        here = unit(dotted(path))
        if here is None:
            continue
        for module, line in find_imports(path):
            there = unit(module) if module.startswith("herl_bench.") else None
            if there and ORDER.index(there) > ORDER.index(here):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    """A submodule is imported from its package without anything of the package's own."""
    files = {dotted(path).removesuffix(".__init__"): path for path in CORE}
    arrows = {
        name: {module if module in files else module.rpartition(".")[0] for module, _ in find_imports(path)}
        for name, path in files.items()
    }
    arrows = {name: {other for other in others if other in files and other != name} for name, others in arrows.items()}
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_only_the_command_line_meets_the_plugin_host():
    meeting = {
        dotted(path).removeprefix("herl_bench.")
        for path in CORE
        if any(module.startswith("herl_bench.plugins") for module, _ in find_imports(path))
    }
    assert {
        name for name in meeting if name.split(".")[0] not in MEETS_THE_HOST and name not in MEETS_THE_HOST
    } == set()


def test_the_core_knows_no_built_in_plugin():
    assert [(p.name, m) for p in CORE for m, _ in find_imports(p) if m.startswith("herl_bench_")] == []


def test_built_in_plugins_use_the_public_door():
    """What anybody's plugin may import: the package itself, and its documented modules."""
    public = {"answers", "errors", "hookspecs", "locate", "reading", "rubric", "sandbox", "types"}
    names = {p.name for p in (ROOT / "plugins").glob("*/herl_bench_*")}
    assert names == {"herl_bench_gsm8k", "herl_bench_humaneval", "herl_bench_bbh"}
    for path in BUILT_IN:
        own = next(part for part in path.parts if part.startswith("herl_bench_"))
        for module, line in find_imports(path):
            place = f"{path.relative_to(ROOT)}:{line} imports {module}"
            if module.startswith("herl_bench_"):
                assert module.startswith(own), place
            elif module.startswith("herl_bench.") and unit(module):
                assert unit(module) in public, place


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["plugins"],
        ["ls", "tasks"],
        ["--help"],
        ["run", "--help"],
        ["compare", "--help"],
        ["schema"],
        ["tasks", "path"],
    ],
)
def test_what_only_looks_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom herl_bench.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n   "
        f" assert not e.code, e.code\nprint(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.strip()
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["run", "--task", "gsm8k"], ["eval", "--tasks", "gsm8k", "--model", "tiny"]])
def test_data_that_are_not_there_are_missed_before_torch_is_loaded(arguments, tmp_path):
    code = (
        "import sys\nfrom herl_bench.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n"
        "    print(e.code, sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    words = [*arguments, "--data", str(tmp_path / "nowhere")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith("herl-bench: no data folder '")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["ls"], ["plugins"]])
def test_they_start_in_a_few_times_what_their_libraries_take(arguments):
    """Processor time, the least of five beside the least of five: both slow down where the machine is busy."""

    def seconds(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [
        (seconds("-m", "herl_bench", *arguments), seconds("-c", "import click, jinja2, pluggy, pydantic, yaml"))
        for _ in range(5)
    ]
    answers, libraries = map(min, zip(*pairs, strict=True))
    assert answers < 5 * libraries
