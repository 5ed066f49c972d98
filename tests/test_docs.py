"""The documentation against the code. `python tests/test_docs.py` writes the generated parts anew."""

import ast
import dataclasses
import inspect
import json
import re
import signal
import tomllib
import typing
from pathlib import Path

import pytest
import yaml

from herl_bench import errors, hookspecs
from herl_bench.cli import COMMANDS
from herl_bench.experiment.manifest import build_manifest
from herl_bench.plugins import KINDS, load_host
from herl_bench.policy.server import ServerConfig
from herl_bench.rubric import CHECKS, load_rubric
from herl_bench.settings import Settings, read_yaml
from herl_bench.training import rates
from herl_bench.training.config import GRPOConfig, HeRLConfig, PPOConfig, RLOOConfig, TRLConfig
from herl_bench.training.metrics import CLOCK, METRICS
from herl_bench.training.rollouts import Rollout

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
READMES = [*sorted(ROOT.glob("plugins/*/README.md")), *sorted(ROOT.glob("examples/plugins/*/README.md"))]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")), *READMES]


def hooks(contributing):
    given = {hook for hook, _ in KINDS.values()} | {"herl_commands"}
    specs = [getattr(hookspecs, name) for name in vars(hookspecs) if name.startswith("herl_")]
    return "\n\n".join(
        f"### `{spec.__name__}`\n```python\ndef {spec.__name__}{str(inspect.signature(spec)).replace(chr(39), '')}:"
        f" ...\n```\n{spec.__doc__}"
        for spec in specs
        if (spec.__name__ in given) == contributing
    )


def settings_table(kind, without=(), study=False):
    hints = typing.get_type_hints(kind)
    rows = ["| key | default | |", "|---|---|---|"]
    for field in dataclasses.fields(kind):
        if field.name not in without and field.metadata.get("study", False) == study:
            choices = (
                typing.get_args(hints[field.name]) if typing.get_origin(hints[field.name]) is typing.Literal else ()
            )
            said = field.metadata["help"] + (f" ({', '.join(f'`{c}`' for c in choices)})" if choices else "")
            default = yaml.safe_dump(field.default).split("\n")[0]
            rows.append(f"| `{field.name}` | {'' if field.default == '' else f'`{default}`'} | {said} |")
    return "\n".join(rows)


def rates_table():
    rows = ["| parameters | whole model: policy | critics | adapter: policy | critics |", "|---|---|---|---|---|"]
    for row in rates.TABLE:
        size = f"under {row.below:,.0f}" if row.below < float("inf") else "more"
        numbers = [f"`{each[learner]:.0e}`" for each in (row.full, row.lora) for learner in ("policy", "critic")]
        rows.append(f"| {' | '.join([size, *numbers])} |")
    return "\n".join(rows)


def generated():
    """(page, name of the part) → text."""
    ppo = [f.name for f in dataclasses.fields(PPOConfig)]
    peer = [f.name for f in dataclasses.fields(TRLConfig)]
    return {
        ("hooks.md", "contributions"): hooks(True),
        ("hooks.md", "observers"): hooks(False),
        ("configuration.md", "Settings"): settings_table(Settings),
        ("configuration.md", "PPOConfig"): settings_table(PPOConfig),
        ("configuration.md", "HeRLConfig"): settings_table(HeRLConfig, ppo),
        ("configuration.md", "HeRLConfig, studies"): settings_table(HeRLConfig, ppo, study=True),
        ("configuration.md", "paper"): "\n".join(
            [
                "| key | `paper` |",
                "|---|---|",
                *(f"| `{k}` | `{yaml.safe_dump(v).splitlines()[0]}` |" for k, v in HeRLConfig.presets["paper"].items()),
            ]
        ),
        ("configuration.md", "rates"): rates_table(),
        ("configuration.md", "TRLConfig"): settings_table(TRLConfig),
        ("configuration.md", "GRPOConfig"): settings_table(GRPOConfig, peer),
        ("configuration.md", "RLOOConfig"): settings_table(RLOOConfig, peer),
        ("evaluation.md", "ServerConfig"): settings_table(ServerConfig),
        ("run-directory.md", "metrics"): "\n".join(
            ["| field | |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in METRICS.items())]
        ),
    }


def part(page, name):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.search(rf"<!-- generated: {name} -->\n(.*?)\n?<!-- end -->", text, re.DOTALL)[1]


def blocks(page, language):
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("page", "name"), generated())
def test_generated_parts_are_the_code_s(page, name):
    assert part(page, name) == generated()[page, name], "write it anew: python tests/test_docs.py"


def test_every_hook_is_documented():
    said = (DOCS / "hooks.md").read_text()
    names = [name for name in vars(hookspecs) if name.startswith("herl_")]
    assert len(names) == 10
    for name in names:
        assert f"### `{name}`" in said


def test_every_command_is_in_the_readme():
    said = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"`herl-bench {name}" in said, name


def test_every_command_line_in_the_docs_exists():
    """Each `herl-bench COMMAND … --flag` names a real command with real flags."""
    import click

    from herl_bench.cli import cli

    context = click.Context(cli)
    seen = 0
    for page in PAGES:
        text = re.sub(r"\s*\\\n\s*", " ", page.read_text())
        for line in re.findall(r"herl-bench ([a-z][^`\n|&]*)", text):
            words = line.split()
            command = cli.get_command(context, words[0]) if words[0] in COMMANDS else None
            if command is None:
                assert not re.search(r"--\w", line), f"{page.name}: herl-bench {line}"
                continue
            if (
                isinstance(command, click.Group) and len(words) > 1
            ):  # `leaderboard RUNS…` is short for `leaderboard rank RUNS…`
                command = command.commands.get(words[1]) or command.commands.get("rank", command)
            options = {option for parameter in command.params for option in parameter.opts}
            for flag in re.findall(r"(?<!\S)(--[\w-]+)", line):
                seen += 1
                assert flag.replace("-", "_").replace("__", "--", 1) in {*options, "--help"}, (
                    f"{page.name}: herl-bench {line}"
                )
    assert seen > 20


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_code_in_the_docs_parses():
    for page in PAGES:
        for code in blocks(page, "python"):
            ast.parse(code)
        for text in blocks(page, "toml"):
            tomllib.loads(text)
        for text in blocks(page, "yaml"):
            yaml.safe_load(text)
        for text in blocks(page, "json"):
            json.loads(text)


def test_rubric_files_in_the_docs_load(tmp_path):
    checks = load_host().items("check")
    found = [text for page in PAGES for text in blocks(page, "yaml") if "criteria:" in text]
    assert len(found) >= 2
    for text in found:
        (tmp_path / "r.yaml").write_text(text)
        assert load_rubric(tmp_path / "r.yaml", checks).criteria


def test_python_in_the_docs_makes_what_it_says():
    """Each example plugin's hooks give objects that the host takes."""
    found = 0
    for page in PAGES:
        for code in blocks(page, "python"):
            if (
                "@hookimpl" not in code or "__file__" in code
            ):  # the latter is a package of several files: see test_third_party.py
                continue
            names = {}
            exec(compile(code, str(page), "exec"), names)
            for hook, kind in KINDS.values():
                for item in names[hook]() if hook in names else ():
                    assert isinstance(item, kind)
                    found += 1
    assert found >= 3


def test_the_configuration_file_in_the_docs_is_accepted(tmp_path):
    from herl_bench.settings import build, parse_settings

    (text,) = [t for t in blocks(DOCS / "configuration.md", "yaml") if "method:" in t]
    (tmp_path / "c.yaml").write_text(text)
    assert read_yaml(str(tmp_path / "c.yaml"))["task"] == "gsm8k"
    run, method, origin = parse_settings({}, [], str(tmp_path / "c.yaml"))
    assert build(Settings, run, origin).budget == 200_000
    assert build(HeRLConfig, method, origin).hint_level == "evidence"


def test_checks_and_rubric_fields_are_documented():
    said = (DOCS / "rubrics.md").read_text()
    for check in CHECKS:
        parameters = [p.name for p in inspect.signature(check.function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        (row,) = [line for line in said.splitlines() if line.startswith(f"| `{check.name}` |")]
        assert re.findall(r"`(\w+)`", row.split("|")[2]) == parameters
    schema = json.loads((DOCS / "rubric.schema.json").read_text())
    for field in schema["properties"]:
        assert f"| `{field}` |" in said
    for field in schema["$defs"]["CriterionSpec"]["properties"]:
        assert f"| `criteria[].{field}` |" in said


def test_exit_codes_are_documented():
    said = (DOCS / "configuration.md").read_text()
    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.HerlBenchError)}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", said, re.MULTILINE)}
    signals = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)}
    assert documented == codes | signals | {0}


def test_fields_of_the_run_files_are_documented():
    said = (DOCS / "run-directory.md").read_text()

    def first_column(heading):
        section = said.partition(f"## `{heading}`")[2].partition("\n## ")[0]
        return {
            name
            for row in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", row)
        }

    written = {node.value for node in _keys(Rollout.as_json)}
    assert first_column("rollouts.jsonl") == written
    assert first_column("manifest.json") == {node.value for node in _keys(build_manifest)} | {
        "changed"
    }  # a resumed run may add it
    assert first_column("metrics.jsonl") == set(METRICS)
    assert tuple(METRICS)[-3:] == CLOCK, "the page says: the last three fields"


def _keys(function):
    """The constant keys of the dictionary that a function returns, those of a `**{…}` in it too."""
    tree = ast.parse(
        inspect.cleandoc("\n" + inspect.getsource(function))
        if function is build_manifest
        else "class _:\n" + inspect.getsource(function)
    )
    returned = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict)
    ]
    dictionary = returned[0]
    spread = [value for key, value in zip(dictionary.keys, dictionary.values, strict=True) if key is None]
    inner = [node for value in spread for node in ast.walk(value) if isinstance(node, ast.Dict)]
    return [key for each in (dictionary, *inner) for key in each.keys if key is not None]


def test_no_page_has_a_heading_twice_or_an_empty_part():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        headings = re.findall(r"^#+ .*", text, re.MULTILINE)
        assert len(headings) == len(set(headings)) or page.name == "CHANGELOG.md", page
    for page, name in generated():
        assert part(page, name).strip()


if __name__ == "__main__":
    for (page, name), text in generated().items():
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        pattern = rf"(<!-- generated: {name} -->\n).*?\n?(<!-- end -->)"
        path.write_text(
            re.sub(pattern, lambda m, text=text: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL), encoding="utf-8"
        )
