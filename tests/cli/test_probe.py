"""`herl-bench probe` and the page of what it wrote."""

import json


def test_table_json_and_page(cli, checkpoint, tmp_path):
    words = ["probe", "--task", "gsm8k", "--model", checkpoint, "--data", "synthetic", "--items", 3]
    words += ["--arms", "resample, reference", "--set", "max_new_tokens=4"]
    told = cli(*words)
    assert told.returncode == 0, told.stderr
    assert "drafting 3 training problems of synthetic: 12 tokens at most" in told.stderr
    assert "takes about 120 tokens (each of resample@0.7, resample@1 48," in told.stderr
    assert "Nothing can be told from 3 failures" in told.stdout
    again = cli(*words, "--format", "json")
    found = json.loads(again.stdout)
    assert (found["task"], found["drafts"]["failures"], len(found["arms"])) == ("gsm8k", 3, 4)
    (folder,) = (tmp_path / "runs").iterdir()
    (folder / "report.html").unlink()
    assert cli("report", folder).stdout.strip() == f"{folder}/report.html"
    page = (folder / "report.html").read_text()
    assert found["expectation"] in page
    assert len(cli("report", folder, "--format", "png").stdout.splitlines()) == 3


def test_mistakes_are_one_line(cli, tmp_path):
    (tmp_path / "probe.json").write_text("{}")
    for words, said in (
        (["report", "."], "not a probe that this version can read"),
        (["probe"], "--task is missing"),
        (["probe", "--task", "gsm8k", "--learning_rate", "1"], "it is a setting: --set learning_rate=1"),
        (["probe", "--task", "gsm8k", "--set", "learning_rate=1"], "--set learning_rate: nothing is trained"),
        (["probe", "--task", "gsm8k", "--items", "0"], "--items"),
    ):
        done = cli(*words)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
