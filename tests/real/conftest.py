"""Real weights: SmolLM2-135M-Instruct, minutes in all, so it takes `-m long`, and HERL_BENCH_MODELS (docs/gpu.md)."""

import shutil

import pytest
from helpers.real_models import SMOLLM2, require_model


@pytest.fixture(scope="session")
def smollm2():
    """As it is there: a checkpoint folder or a .gguf file."""
    return require_model(SMOLLM2)


@pytest.fixture(scope="session")
def smollm2_folder(smollm2, tmp_path_factory):
    """A checkpoint folder; made once of a .gguf file, which takes longer to load."""
    if smollm2.is_dir():
        yield smollm2
        return
    from herl_bench.policy.load import load_policy

    folder = tmp_path_factory.mktemp("smollm2") / SMOLLM2
    policy = load_policy(smollm2)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for runs, gone afterwards: checkpoints of real weights are gigabytes."""
    folder = tmp_path_factory.mktemp("runs")
    yield folder
    shutil.rmtree(folder)
