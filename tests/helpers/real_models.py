"""Real models, where a machine has them: the environment variable HERL_BENCH_MODELS names a folder that holds each as
a checkpoint folder or a .gguf file whose name begins with the model's, whatever its case."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "gpu"))
from setting_up import find_model

VARIABLE = "HERL_BENCH_MODELS"
SMOLLM2 = "SmolLM2-135M-Instruct"


def require_model(name: str) -> Path:
    """Skips the test, with the reason, where it is not there."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} is not set: it names a folder with {name}")
    found = find_model(name, Path(folder))
    if found is None:
        pytest.skip(f"{VARIABLE}={folder} holds no {name}, neither a checkpoint folder nor a .gguf file")
    return found
