"""What is shipped, what it needs, and what must never be in the repository."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions

import pytest
from helpers.source import BUILT_IN, CORE, ROOT, find_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from herl_bench import __version__
from herl_bench.locate import rubrics_path, tasks_path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
POLICIES_MB = 8


def requirements(lines):
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pip(*words):
    command = [sys.executable, "-m", "pip", "-q", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source tree without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_everything_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        "herl_bench",
        "herl_bench_gsm8k",
        "herl_bench_humaneval",
        "herl_bench_bbh",
        f"herl_bench-{__version__}.dist-info",
    }
    for path in rubrics_path().glob("*.yaml"):
        assert f"herl_bench/_data/rubrics/{path.name}" in names
    for path in tasks_path().rglob("*.yaml"):
        assert f"herl_bench/_data/tasks/{path.relative_to(tasks_path())}" in names
    assert "herl_bench/py.typed" in names
    assert not [name for name in names if name.endswith((".jsonl", ".gz", ".pyc"))]
    for path in (*CORE, *BUILT_IN):
        assert any(str(path).endswith(name) for name in names), path
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_embedded_policies_are_in_the_wheel_and_small(wheel):
    files = zipfile.ZipFile(wheel).infolist()
    weights = [f for f in files if f.filename.endswith(".safetensors")]
    assert {f.filename.split("/")[0] for f in weights} == {"herl_bench_gsm8k", "herl_bench_humaneval", "herl_bench_bbh"}
    for weight in weights:
        folder = os.path.dirname(weight.filename)
        assert {f"{folder}/config.json", f"{folder}/tokenizer.json"} <= {f.filename for f in files}
    assert sum(f.file_size for f in weights) <= POLICIES_MB * 2**20


def test_the_installed_wheel_works_alone(wheel, cli, tmp_path):
    """From a folder of its own: nothing is read from the source tree."""
    site = tmp_path / "site"
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    assert cli("tasks", "path", paths=[site]).stdout.strip() == str(site / "herl_bench" / "_data" / "tasks")
    plugins = json.loads(cli("plugins", "--format", "json", paths=[site]).stdout)
    assert plugins["problems"] == []
    assert {p["name"] for p in plugins["plugins"]} == {"core", "gsm8k", "humaneval", "bbh"}
    done = cli("validate", "--tasks", "gsm8k", "--data", "synthetic", "--items", "5", paths=[site])
    assert "5 of 5 gold answers" in done.stdout


@pytest.mark.parametrize("name", ["gsm8k", "humaneval", "bbh"])
def test_each_built_in_plugin_can_be_built_alone(name, tmp_path):
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, ROOT / "plugins" / name)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert f"herl_bench_{name}/__init__.py" in names


def test_the_version_is_said_once():
    assert distribution("herl-bench").version == PROJECT["version"] == __version__
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        assert tomllib.loads(path.read_text())["project"]["version"] == __version__


def test_dependencies_are_those_that_the_code_imports():
    """lm-eval is imported by whoever uses the files in tasks/, tokenizer and data libraries inside functions; what a
    notebook's user has is used where it is."""
    owners = packages_distributions()
    tops = {module.split(".")[0] for path in (*CORE, *BUILT_IN) for module, _ in find_imports(path)}
    used = {
        canonicalize_name(owner)
        for top in tops
        if top not in sys.stdlib_module_names
        for owner in owners.get(top, [top])
    }
    used = {name for name in used if not name.startswith("herl-bench")}
    optional = {
        name
        for extra in ("plots", "ray", "gguf", "lora")
        for name in requirements(PROJECT["optional-dependencies"][extra])
    }
    optional |= {"ipython", "pandas"}
    assert (used | {"lm-eval"}) - optional == set(requirements(PROJECT["dependencies"]))


def test_constraints_pin_every_dependency_to_a_public_version():
    pinned = requirements(
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    extras = PROJECT["optional-dependencies"]
    for name, needed in requirements([*PROJECT["dependencies"], *extras["test"], *extras["tensorboard"]]).items():
        assert name in pinned, name
        exact = str(pinned[name].specifier).removeprefix("==")
        assert name == "torch" or needed.specifier.contains(exact), name
    for name, pin in pinned.items():
        assert re.fullmatch(r"==[0-9a-z.]+", str(pin.specifier)) or name == "torch", (
            f"{name}: one version, no local build"
        )
    assert str(pinned["torch"].specifier) == "<2.14"
    assert "<" not in str(requirements(PROJECT["dependencies"])["torch"].specifier), "GPU users may want a newer one"


def test_what_is_installed_is_what_is_pinned():
    """True wherever the README's command made the environment."""
    pinned = requirements(
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    for name in requirements(PROJECT["dependencies"]):
        assert pinned[name].specifier.contains(distribution(name).version.partition("+")[0]), name


def test_ci_runs_the_readme_s_command():
    (command,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.endswith("&& pytest")]
    script = (ROOT / ".ci" / "run").read_text()
    assert command in script.splitlines()
    for check in ("pytest -m long", "ruff check", "ruff format --check", "mypy"):
        assert check in script.splitlines()
    assert "set -euo pipefail" in script
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_the_readme_s_two_commands_install_alike():
    lines = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if "pip install -c" in line and line.startswith("(")
    ]
    assert len(lines) == 2
    run, test = lines
    assert run.replace(" herl-bench run --task gsm8k --method herl", " pytest").replace("-e .", "-e '.[test]'") == test


def tracked():
    """Files that a clone has, new ones included."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_benchmark_data_is_in_the_repository():
    """But for the twenty items of each task whose answers by real models were judged by hand."""
    judged = {ROOT / "tests" / "plugins" / task / "answers.jsonl" for task in ("bbh", "gsm8k", "humaneval")}
    data = {path for path in tracked() if path.suffix in (".jsonl", ".gz", ".parquet", ".zip")}
    assert data == judged
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 20 for path in judged)
    assert sum(path.stat().st_size for path in tracked()) < 20 * 2**20


def test_the_project_speaks_of_itself_alone():
    """No paths of one machine, no package registries' hosts, no numbers of tickets."""
    registries = ["pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian", "/opt/" + "wheels"]
    words = ["/work" + "/", "/tmp" + "/v/", "issue" + " #", *registries]
    found = []
    for path in tracked():
        if path.suffix in (".safetensors", ".png"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace").lower()
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert found == []
