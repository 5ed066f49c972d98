"""Real packages, pip-installed from a folder, found through their entry points in a process of its own."""

import json

import pytest
from helpers.packages import install

from herl_bench import plugins

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2.3"

[project.entry-points.herl_bench]
{module} = "{module}"

[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""

RUBRICS = """
from herl_bench import Criterion, Rubric, hookimpl

def three_lines(example, response):
    return len(response.strip().splitlines()) == 3

@hookimpl
def herl_rubrics():
    return [Rubric("NAME", [Criterion("three_lines", "The poem has three lines.", three_lines)])]
"""


def source(folder, name, code):
    """A package of one module and one entry point."""
    module = name.replace("-", "_")
    folder = folder / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=module))
    (folder / f"{module}.py").write_text(code)
    return folder


BROKEN = {
    "herl-cannot-import": "import a_module_that_is_not_there",
    "herl-exits": "raise SystemExit(3)",
    "herl-raises": (
        "from herl_bench import hookimpl\n@hookimpl\ndef herl_rubrics():\n    raise KeyError('first\\nsecond')"
    ),
    "herl-raises-late": (
        "from herl_bench import hookimpl\n@hookimpl\ndef herl_metrics():\n    yield from []\n    raise"
        " ValueError('while listing')"
    ),
    "herl-no-list": "from herl_bench import hookimpl\n@hookimpl\ndef herl_methods():\n    return 3",
    "herl-wrong-type": "from herl_bench import hookimpl\n@hookimpl\ndef herl_checks():\n    return ['three_lines']",
    "herl-first-owner": RUBRICS.replace("NAME", "twice"),
    "herl-second-owner": RUBRICS.replace("NAME", "twice"),
    "herl-same-as-built-in": RUBRICS.replace("NAME", "gsm8k"),
    "herl-misspelt": "from herl_bench import hookimpl\n@hookimpl\ndef herl_rubric():\n    return []",
    "herl-wrong-arguments": "from herl_bench import hookimpl\n@hookimpl\ndef herl_run_finished(run, nobody):\n    pass",
    "herl-bad-file": (
        "from pathlib import Path\nfrom herl_bench import hookimpl\n@hookimpl\ndef herl_rubrics():\n    return"
        " [Path('/nowhere/r.yaml')]"
    ),
    "herl-no-rubric": (
        "from herl_bench import hookimpl, Task\nfrom dataclasses import replace\nfrom herl_bench.testing import"
        " TOY_TASK\n@hookimpl\ndef herl_tasks():\n    return [replace(TOY_TASK, rubric='missing', template='gsm8k',"
        " metrics=[])]"
    ),
    "herl-bad-command": "from herl_bench import hookimpl\n@hookimpl\ndef herl_commands(cli):\n    cli.nothing()",
}

SAID = {
    "herl-cannot-import": (
        "plugin herl_cannot_import (herl-cannot-import 1.2.3) cannot be loaded: ModuleNotFoundError: No module named"
    ),
    "herl-exits": "plugin herl_exits (herl-exits 1.2.3) cannot be loaded: SystemExit: 3",
    "herl-raises": "plugin herl_raises (herl-raises 1.2.3): hook herl_rubrics raised KeyError: 'first",
    "herl-raises-late": (
        "plugin herl_raises_late (herl-raises-late 1.2.3): hook herl_metrics raised ValueError: while listing"
    ),
    "herl-no-list": "plugin herl_no_list (herl-no-list 1.2.3): hook herl_methods must return a list of Method, not int",
    "herl-wrong-type": (
        "plugin herl_wrong_type (herl-wrong-type 1.2.3): hook herl_checks gave a str where a Check belongs"
    ),
    "herl-first-owner": (
        "the rubric 'twice' is claimed by herl_first_owner (herl-first-owner 1.2.3) and by herl_second_owner"
        " (herl-second-"
    ),
    "herl-second-owner": "herl_second_owner (herl-second-owner 1.2.3): uninstall one of them",
    "herl-same-as-built-in": "and by herl_same_as_built_in (herl-same-as-built-in 1.2.3): uninstall one of them",
    "herl-misspelt": (
        "(herl-misspelt 1.2.3) cannot be loaded: PluginError: no hook named 'herl_rubric': did you mean herl_rubrics"
    ),
    "herl-wrong-arguments": "(herl-wrong-arguments 1.2.3) cannot be loaded: PluginValidationError: ",
    "herl-bad-file": (
        "plugin herl_bad_file (herl-bad-file 1.2.3): /nowhere/r.yaml: cannot read the rubric: No such file"
    ),
    "herl-no-rubric": (
        "plugin herl_no_rubric (herl-no-rubric 1.2.3): task 'toy' names the rubric 'missing', which no plugin provides"
    ),
    "herl-bad-command": "plugin herl_bad_command (herl-bad-command 1.2.3): hook herl_commands raised AttributeError: ",
}


@pytest.fixture(scope="module")
def broken_site(tmp_path_factory):
    """All broken packages and a good one, installed together."""
    folder, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    install(
        target,
        *(source(folder, name, code) for name, code in BROKEN.items()),
        source(folder, "herl-good", RUBRICS.replace("NAME", "good")),
    )
    return target


def test_each_broken_plugin_is_named_with_its_distribution(cli, broken_site):
    done = cli("plugins", "--format", "json", paths=[broken_site])
    assert done.returncode == 0
    problems = json.loads(done.stdout)["problems"]
    assert set(SAID) == set(BROKEN)
    for name, said in SAID.items():
        assert any(said in problem for problem in problems), (name, problems)
    assert not [p for p in problems if not any(said in p for said in SAID.values())], "nobody else is blamed"
    assert not any("\n" in problem for problem in problems)


def test_the_others_still_work(cli, broken_site):
    listed = json.loads(cli("ls", "--format", "json", paths=[broken_site]).stdout)
    rows = {kind: {row["name"]: row["distribution"] for row in rows} for kind, rows in listed.items()}
    assert rows["rubrics"]["good"] == "herl-good 1.2.3"
    assert {"gsm8k", "humaneval", "bbh"} <= set(rows["tasks"])
    assert {"ppo", "herl"} <= set(rows["methods"])
    assert "twice" not in rows["rubrics"]


def test_problems_go_to_stderr_one_line_each(cli, broken_site):
    done = cli("plugins", paths=[broken_site])
    lines = done.stderr.splitlines()
    assert all(line.startswith("herl-bench: warning: ") for line in lines)
    assert "herl_good" in done.stdout
    assert "warning" not in done.stdout


def test_a_name_with_two_owners_is_refused_with_both(cli, broken_site):
    done = cli("run", "--task", "gsm8k", "--set", "rubric=twice", paths=[broken_site])
    assert done.returncode == 1
    assert (
        "the rubric 'twice' is claimed by herl_first_owner (herl-first-owner 1.2.3) and by herl_second_owner"
        in done.stderr.splitlines()[-1]
    )
    assert "Traceback" not in done.stderr


def test_a_task_without_its_rubric_cannot_be_run(cli, broken_site):
    done = cli("run", "--task", "toy", paths=[broken_site])
    assert done.returncode == 2
    assert "no rubric named 'missing'" in done.stderr.splitlines()[-1]


def test_built_ins_come_in_by_the_same_door():
    host = plugins.load_host()
    host.collect_all()
    assert host.problems == []
    assert [p.name for p in host.plugins if p.distribution == "herl-bench"] == ["bbh", "core", "gsm8k", "humaneval"]
    for kind in plugins.KINDS:
        assert host.entries(kind), kind


def test_an_observer_that_raises_does_not_stop_the_others():
    """`herl_run_finished` and `herl_rollouts_judged` are called in the middle of a run."""
    from herl_bench import hookimpl

    class Raises:
        @hookimpl
        def herl_run_finished(self, run):
            raise RuntimeError("full")

    class Counts:
        @hookimpl
        def herl_run_finished(self, run):
            seen.append(run)

    seen = []
    host = plugins.load_host([])
    host.manager.register(Raises(), name="a-raises")
    host.manager.register(Counts(), name="counts")
    host.call("herl_run_finished", run="the run")
    assert seen == ["the run"]
    assert host.problems == ["plugin a-raises (? ?): hook herl_run_finished raised RuntimeError: full"]
