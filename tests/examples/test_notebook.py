"""The notebook of examples/, cell by cell in a real kernel, with a smaller budget; and the code of docs/python.md."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "compare_two_seeds.ipynb"


def test_it_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert len(cells) == 10
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_it_runs_from_top_to_bottom(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells[1].source = notebook.cells[1].source.replace('"20k"', '"8k"')
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    html = [data["text/html"] for data in shown if "text/html" in data]
    assert any("exact_match" in text and "<table>" in text for text in html)  # the run
    assert any("<iframe" in text for text in html)
    assert len(list((tmp_path / "runs").glob("gsm8k-*-s?"))) == 4
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))


@pytest.mark.long
def test_the_code_of_the_page_runs_from_top_to_bottom(tmp_path):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.M | re.S
    )
    assert len(blocks) == 6
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import matplotlib", "matplotlib.use('agg')", *blocks])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "<Run gsm8k herl seed 0" in done.stdout
