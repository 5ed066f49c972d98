import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench.errors import SaveError
from herl_bench.saving import append_lines, cut, measure_size, saving, write_whole


def test_a_whole_file_or_the_one_before(tmp_path):
    path = tmp_path / "deep" / "a.json"
    write_whole(path, "one")
    write_whole(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3), max_size=5
    )
)
def test_every_text_survives_as_one_json_row_per_line(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    append_lines(path, rows)
    append_lines(path, rows)
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == rows * 2


def test_what_is_not_json_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        append_lines(tmp_path / "a.jsonl", [{"x": float("nan")}])


def test_a_lone_surrogate_can_be_stored_and_read_back(tmp_path):
    append_lines(tmp_path / "a.jsonl", [{"x": "a\udc80"}])
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {"x": "a\udc80"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_line(tmp_path):
    full = tmp_path / "metrics.jsonl"
    full.symlink_to("/dev/full")
    with pytest.raises(
        SaveError, match=r"cannot write .*metrics\.jsonl: No space left on device; what was saved before is whole"
    ):
        append_lines(full, [{"a": 1}])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """A file-size limit makes the write itself fail, in a process of its own."""
    path = tmp_path / "a.json"
    write_whole(path, "old")
    code = (
        f"from pathlib import Path; from herl_bench.saving import write_whole; write_whole(Path({str(path)!r}), 'x' *"
        " 100_000)"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run([sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True)
    assert "SaveError: cannot write" in done.stderr
    assert path.read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_torch_s_and_safetensors_writers_speak_of_a_full_disk_in_their_own_ways(tmp_path):
    import torch
    from safetensors.torch import save_file

    weights = {"a": torch.zeros(100_000)}
    said = r"cannot write .*: No space left on device.*; what was saved before is whole"
    with pytest.raises(SaveError, match=said), saving(tmp_path), open("/dev/full", "wb") as file:
        torch.save(weights, file)
    with pytest.raises(SaveError, match="what was saved before is whole"), saving(tmp_path):
        save_file(weights, str(tmp_path / "gone" / "w.safetensors"))


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), saving(tmp_path):
        raise RuntimeError("shapes differ")


def test_cut_shortens_and_ignores_what_is_not_there(tmp_path):
    path = tmp_path / "a"
    path.write_text("12345")
    cut(path, 2)
    assert (path.read_text(), measure_size(path)) == ("12", 2)
    cut(tmp_path / "none", 0)
    assert measure_size(tmp_path / "none") == 0
