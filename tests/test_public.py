"""The public surface: what `import herl_bench as hb` gives, and what each call takes. A change here is one for
CHANGELOG."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import herl_bench as hb

PLUGIN_NAMES = {
    *(
        "ChatTurns",
        "Check",
        "Criterion",
        "Demonstration",
        "Example",
        "Finding",
        "HindsightTemplate",
        "Method",
        "Metric",
    ),
    *("Rubric", "SandboxProvider", "Split", "Task", "Verdict", "World", "answer_text", "hookimpl", "judge"),
    "load_rubric",
}
CALLS = {
    "train": (
        "task method model data budget seed output_dir config resume trust_remote_code allow_changed progress settings"
    ),
    "load_run": "path",
    "compare": (
        "runs task methods seeds budget model data grid output_dir jobs ray baseline metric margin allow_unequal "
        "trust_remote_code progress settings"
    ),
    "evaluate": (
        "task model data limit n temperature max_new_tokens seed num_fewshot system_instruction"
        " chat_template_kwargs think refine critique rubric sandbox integrity pass_at batch_size device dtype"
        " output_path log_samples trust_remote_code model_args progress"
    ),
    "probe": ("task model items arms data seed device dtype output_dir trust_remote_code model_args progress settings"),
    "score": (
        "responses task data rubric output_path allow_duplicates pass_at integrity think sandbox require_all jobs"
        " progress"
    ),
}


def test_what_the_package_gives():
    assert set(hb.__all__) == {*PLUGIN_NAMES, "Run", "train", "evaluate", "score", "compare", "probe", "load_run"}
    assert sorted(hb.__all__) == hb.__all__


def test_what_completion_offers():
    assert {name for name in dir(hb) if not name.startswith("__")} == {*hb.__all__, "errors"}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_call_takes(name):
    signature = inspect.signature(getattr(hb, name))
    assert list(signature.parameters) == CALLS[name].split()
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())
    assert signature.return_annotation is not inspect.Signature.empty
    assert inspect.getdoc(getattr(hb, name))


def test_a_run_s_attributes():
    public = {name for name in dir(hb.Run) if not name.startswith("_")}
    assert public == {"config", "evaluation", "files", "finished", "manifest", "metrics", "report", "rollouts"}


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "transformers", "numpy", "pydantic", "rich", "yaml", "jinja2"}
    code = f"import sys, herl_bench as hb\nassert not set(sys.modules) & {heavy}\nhb.train, hb.load_run\nprint('ok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr


def test_type_checkers_are_told_that_it_is_typed():
    assert (Path(hb.__file__).parent / "py.typed").is_file()


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        hb.trian  # noqa: B018
