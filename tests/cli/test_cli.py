import json
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

from herl_bench import __version__
from herl_bench.cli import COMMANDS, run_command, use_underscores
from herl_bench.cli import cli as group
from herl_bench.errors import HerlBenchError, NoSandbox, UsageError


def test_the_module_is_the_program(cli):
    """`python -m herl_bench` and the installed script are the same."""
    script = next(p for p in entry_points(group="console_scripts") if p.name == "herl-bench")
    assert script.value == "herl_bench.cli:main"
    assert cli("--version").stdout == f"herl-bench, version {__version__}\n"
    code = "import sys; sys.argv = ['herl-bench', 'ls', 'tasks']; from herl_bench.cli import main; main()"
    by_script = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert by_script.stdout == cli("ls", "tasks").stdout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--output-dir", "my-runs"], ["--output_dir", "my-runs"]),
        (["--output_dir=my-runs"], ["--output_dir=my-runs"]),
        (["--set", "off-policy=awr", "-o", "a-b"], ["--set", "off-policy=awr", "-o", "a-b"]),
        (["--log-samples"], ["--log_samples"]),
        (["--"], ["--"]),
    ],
)
def test_both_spellings_of_a_flag(given, expected):
    assert use_underscores(given) == expected


def test_every_long_option_can_be_spelt_both_ways():
    """Options are declared with underscores, as lm-eval and TRL do, so that the hyphenated form is translated to one
    that exists."""
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        commands = command.commands.values() if isinstance(command, click.Group) else [command]
        for option in (o for c in commands for p in c.params for o in p.opts if o.startswith("--")):
            assert use_underscores(["--" + option[2:].replace("_", "-")]) == [option]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong"), 2),
        (HerlBenchError("failed"), 1),
        (NoSandbox("install bubblewrap"), 3),
        (KeyboardInterrupt(), 130),
        (click.UsageError("Missing parameter."), 2),
    ],
)
def test_exit_codes(error, code, capsys):
    def fail():
        raise error

    assert run_command(fail) == code
    said = capsys.readouterr().err
    assert said.startswith("herl-bench: ")
    assert said.count("\n") == 1


def test_an_unexpected_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


def test_help_lists_every_command_with_its_sentence(cli):
    said = cli("--help").stdout
    for name, sentence in COMMANDS.items():
        assert name in said
        assert sentence.split()[0] in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    done = CliRunner().invoke(group, [name, "--help"], prog_name="herl-bench")
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: herl-bench {name}")


def test_ls_in_text_and_json(cli):
    rows = json.loads(cli("ls", "--format", "json").stdout)
    assert [row["name"] for row in rows["checks"] if not row["description"]] == []
    assert set(rows) == {"tasks", "rubrics", "methods", "metrics", "templates", "sandboxes", "checks"}
    text = cli("ls", "methods").stdout
    for row in rows["methods"]:
        assert row["name"] in text
        assert f"[{row['distribution']}]" in text
    assert cli("ls", "method").stdout == text


def test_ls_into_a_closed_pipe_is_quiet():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m herl_bench ls | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_tasks_path_is_a_folder_for_lm_eval(cli):
    from pathlib import Path

    folder = Path(cli("tasks", "path").stdout.strip())
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["bbh", "gsm8k", "humaneval"]
    assert list(folder.glob("*/herl_*.yaml"))


def test_a_plugin_can_add_a_command(cli, tmp_path):
    site = tmp_path / "site"
    (site / "hello-1.0.dist-info").mkdir(parents=True)
    (site / "hello-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    (site / "hello-1.0.dist-info" / "entry_points.txt").write_text("[herl_bench]\nhello = hello\n")
    (site / "hello.py").write_text(
        "import click\nfrom herl_bench import hookimpl\n\n@hookimpl\ndef herl_commands(cli):\n    @cli.command()\n   "
        ' @click.option("--loud_one", is_flag=True)\n    def hello(loud_one):\n        "Say hello."\n       '
        ' click.echo("HELLO" if loud_one else "hello")\n'
    )
    assert cli("hello", "--loud-one", paths=[site]).stdout == "HELLO\n"
    assert "Say hello." in cli("--help", paths=[site]).stdout
