"""A sweep on a real Ray cluster of two nodes on this machine, one of which is lost; a minute.

Skipped where the extra is not installed: pip install -c constraints.txt -e '.[test,ray]' && pytest
tests/sweep/test_ray.py
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.tiny_sweep import tiny_comparison

from herl_bench.comparison.schema import from_json
from herl_bench.testing import tiny_checkpoint

pytest.importorskip("ray")


@pytest.mark.filterwarnings("ignore")  # Ray's own, at import and at shutdown
def test_a_node_lost_midway_loses_no_finished_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # at Ray's own 15, cells starve beside anything else that runs here
    from ray.cluster_utils import Cluster

    model = tiny_checkpoint(tmp_path / "model")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
        words = tiny_comparison(model)
        process = subprocess.Popen(  # `herl-bench compare` meets the cluster as any other program would
            [
                sys.executable,
                "-m",
                "herl_bench",
                "compare",
                *words,
                "-o",
                "out",
                "--ray",
                cluster.address,
                "--format",
                "json",
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        runs = tmp_path / "out" / "runs"
        deadline = time.monotonic() + 300
        while not list(runs.glob("*/eval/after/results_*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kept = {
            path: path.stat().st_mtime_ns
            for done in runs.glob("*/eval/after/results_*")
            for path in done.parents[2].rglob("*")
        }
        cluster.remove_node(nodes[1], allow_graceful=False)
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
        assert len(from_json(out).runs) == 4
        assert from_json(out).failed == ()
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        steps = [[json.loads(line)["step"] for line in file.open()] for file in runs.glob("*/metrics.jsonl")]
        assert all(found == list(range(1, len(found) + 1)) for found in steps)
    finally:
        cluster.shutdown()
