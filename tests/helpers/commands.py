"""`herl-bench` as a process of its own, without the seconds that loading torch and transformers takes: one warm process
has loaded them, and each command is forked from it.

What a command sees is what `python -m herl_bench` sees: its own working folder, standard streams and `sys.argv`, no
state of the tests. Left out: other environment variables, folders on `sys.path` and limits, which have to be there
before the libraries are loaded; `run_fresh` is for those.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path

HELPERS = Path(__file__).parent
LOADED = (
    *("accelerate", "datasets", "scipy.stats", "torch", "rich.live", "pydantic", "jinja2", "yaml"),
    *("matplotlib.figure", "matplotlib.backends.backend_svg"),
    *("transformers.models.llama.modeling_llama", "transformers.models.qwen2.modeling_qwen2"),
    *("transformers.generation.utils", "herl_bench.builtin", "herl_bench.training.herl", "herl_bench.cli"),
)


def run_fresh(*words, cwd, timeout=300, paths=(), preexec_fn=None, **environment):
    """paths: folders put in front of `sys.path`. An environment variable given as None is unset."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **environment}
    return subprocess.run(
        [sys.executable, "-m", "herl_bench", *map(str, words)],
        cwd=cwd,
        env={name: value for name, value in given.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=preexec_fn,
    )


class WarmProcess:
    """Runs one command at a time (words, the working folder, a limit in seconds); started with the first."""

    def __init__(self):
        self.process = None

    def run(self, *words, cwd, timeout=300):
        with tempfile.TemporaryDirectory() as folder:
            request = {"words": [str(word) for word in words], "cwd": str(cwd), "folder": folder, "timeout": timeout}
            code = self._ask(request)
            out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
        done = subprocess.CompletedProcess(["herl-bench", *request["words"]], code, out, err)
        if code is None:
            raise subprocess.TimeoutExpired(done.args, timeout, out, err)
        return done

    def _ask(self, request):
        if self.process is None:
            program = [sys.executable, "-c", "from helpers.commands import serve\nserve()"]
            self.process = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(HELPERS.parent)},
            )
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()


WARM = WarmProcess()
run_command = WARM.run
atexit.register(WARM.close)


def serve():
    """The warm process: a request per line, answered with the exit code, or null after its time is over."""
    with warnings.catch_warnings():
        for name in LOADED:
            importlib.import_module(name)
    gc.freeze()  # what is loaded lives as long as the process, so that no command looks through it again
    sys.path.remove(str(HELPERS.parent))
    del os.environ["PYTHONPATH"]
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            leave(become(request))
        print(json.dumps(wait_for(child, request["timeout"])), flush=True)


def wait_for(child, timeout):
    """As `subprocess` counts: minus the signal that ended it."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(timeout)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if signal.alarm(0) else None


def become(request):
    """This forked process is the command from here on; gives its exit code."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(request["cwd"])
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, name in ((1, "out"), (2, "err")):
        with open(os.path.join(request["folder"], name), "wb") as file:
            os.dup2(file.fileno(), number)
    sys.path[0] = request["cwd"]
    sys.argv = ["", *request["words"]]
    try:
        runpy.run_module("herl_bench", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        return left.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code):
    """As Python leaves, but for taking the loaded libraries apart, which takes longer than most commands."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
