"""Two steps of training on real weights, as small as they still learn: words of `herl-bench run`, a kill, and what two
runs must have alike."""

import hashlib
import json
import signal
import subprocess
import sys
import time

from herl_bench.training.metrics import CLOCK

SETTINGS = {
    # Short prompts and responses: reading them is most of the work. Three rollouts are two drafts and a revision.
    "system_instruction": "Answer with one number.",
    "max_new_tokens": 24,
    "rollouts_per_step": 3,
    "minibatch_size": 3,
    "eval_items": 2,
    # Most responses are cut off and earn nothing; this moves the weights all the same.
    "entropy_coef": 0.01,
}
BUDGET = 2 * SETTINGS["rollouts_per_step"] * SETTINGS["max_new_tokens"]
SECONDS = 600


def run_words(method, model, folder, **more):
    """What follows `herl-bench`."""
    settings = [word for name, value in {**SETTINGS, **more}.items() for word in ("--set", f"{name}={value}")]
    where = ["--model", str(model), "--data", "synthetic", "--output_dir", str(folder)]
    return ["run", "--task", "gsm8k", "--method", method, *where, "--budget", str(BUDGET), *settings]


def kill_after_checkpoint(words, run):
    """Start the command, and kill it as soon as the run's first checkpoint is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "herl_bench", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + SECONDS
    while not (run / "checkpoints" / "step-000001").is_dir():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()


def read_steps(run):
    """The rows of metrics without clocks."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in (*CLOCK, "seconds")} for row in rows]


def hash_outcome(run):
    """Of each file that a run leaves for good: every response, the trained policy with its critics, and both
    evaluations' answers."""
    files = [run / "rollouts.jsonl", *(run / "final").glob("*.safetensors"), *run.glob("eval/*/samples_*.jsonl")]
    # The samples' names hold a time.
    return {
        f"{path.parent.name}/{path.name.partition('_')[0]}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
