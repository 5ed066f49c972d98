"""Training as a call: what it gives, what it refuses, and where it can be made from."""

import asyncio
import os
import random
import shutil
import signal
import threading
from dataclasses import replace

import numpy
import pytest
import torch
from helpers.gguf_files import make_llama, write_gguf
from transformers.utils import logging

import herl_bench as hb
from herl_bench.errors import HerlBenchError, UnknownName, UsageError
from herl_bench.experiment.manifest import digest_template
from herl_bench.experiment.train import Interrupted
from herl_bench.testing import TOY_TEMPLATE, tiny_checkpoint
from herl_bench.training.herl import Learner

SMALL = {
    "task": "gsm8k",
    "data": "synthetic",
    "method": "ppo",
    "budget": 300,
    "eval_items": 4,
    "rollouts_per_step": 8,
    "max_new_tokens": 8,
    "minibatch_size": 4,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return hb.train(**SMALL, model=str(model), seed=3, output_dir=tmp_path_factory.mktemp("runs"))


def test_it_gives_the_run(run, capsys):
    assert run.directory.name == "gsm8k-ppo-s3"
    assert run.finished
    assert run.config["seed"] == 3
    assert run.config["set"]["rollouts_per_step"] == 8
    assert run.metrics[-1]["tokens"] <= 300
    assert "herl_bench.train(task='gsm8k', method='ppo'" in run.manifest["command"]
    assert hb.load_run(run.directory) == run


def test_memory_that_is_not_there_for_the_optimiser_is_one_line(model, tmp_path, monkeypatch):
    """Its state is made at the first step, when no batch can be halved any more."""

    def step(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(HerlBenchError, match=r"^out of memory, .*: set lora_rank=16.* \(run: .*gsm8k-ppo-s0\)$"):
        hb.train(**SMALL, model=str(model), output_dir=tmp_path)


@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_on_a_gguf_file_is_said_to_be_for_herl_bench_alone(tmp_path, capsys, merge):
    """`merge=true` writes a checkpoint for others, and nothing is left to say."""
    model = write_gguf(tmp_path / "small.gguf", make_llama())
    hb.train(**{**SMALL, "budget": 1}, model=model, output_dir=tmp_path, lora_rank=2, merge=merge, progress=True)
    assert ("\nAdapter: final/ will name a GGUF file as its base" in capsys.readouterr().out) is not merge


def test_it_prints_nothing_where_nothing_can_be_drawn(model, tmp_path, capfd):
    hb.train(**SMALL, model=str(model), output_dir=tmp_path)
    assert capfd.readouterr().out == ""


def test_the_same_command_gives_the_same_bytes_as_the_command_line(run, model, tmp_path, cli):
    words = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    done = cli("run", *words, "--model", model, "--seed", "3", "--output_dir", "runs")
    assert done.returncode == 0, done.stderr
    theirs = hb.load_run(tmp_path / "runs" / "gsm8k-ppo-s3")
    assert theirs.files.config.read_bytes() == run.files.config.read_bytes()
    assert theirs.files.rollouts.read_bytes() == run.files.rollouts.read_bytes()


def test_a_finished_run_is_given_as_it_is_and_a_larger_budget_goes_on(run, model, tmp_path):
    steps = len(run.metrics)
    assert hb.train(resume=run.directory) == run
    assert len(run.metrics) == steps
    assert len(hb.train(resume=run.directory, budget=600).metrics) > steps


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({}, UsageError, "task is missing: choose from"),
        ({"task": "gsm8"}, UnknownName, "did you mean gsm8k"),
        (
            {"task": "gsm8k", "learning_rat": 1},
            UsageError,
            "no setting named 'learning_rat': did you mean learning_rate",
        ),
        ({"task": "gsm8k", "budget": "20x"}, UsageError, "budget 20x: write a positive number"),
        ({"task": "gsm8k", "budget": 0}, UsageError, "budget=0: input should be greater than or equal to 1"),
        ({"task": "gsm8k", "allow_changed": True}, UsageError, "allow_changed goes with resume"),
        ({"resume": "nowhere"}, UsageError, "nowhere: no config.yaml there"),
        ({"task": "gsm8k", "merge": True}, UsageError, "^merge=true: .* set lora_rank too"),
        ({"task": "gsm8k", "kl_coef": 0, "max_kl": 2}, UsageError, r"^max_kl=2\.0 stops nothing with kl_coef=0"),
        ({"task": "gsm8k", "method": "grpo", "beta": 0, "max_kl": 2}, UsageError, r"^max_kl=2\.0 .* with beta=0"),
        ({"task": "gsm8k", "budget": True}, UsageError, "budget=True: write a number"),
        ({"task": "gsm8k", "seed": [0, 1]}, UsageError, "seed: a run has one, .*compare trains with several"),
        ({"task": ["gsm8k"]}, UsageError, "task is told by its name or folder, .* not by a list"),
        ({"task": "gsm8k", "model": object()}, UsageError, "model is told by its name or folder, .* by a object"),
        ({"task": "gsm8k", "set": {"gamma": 1}}, UsageError, "set: write each setting as a keyword"),
        ({"task": "gsm8k", "outputdir": "x"}, UsageError, "no setting named 'outputdir': did you mean output_dir"),
        ({"task": "gsm8k", "output_dir": None}, UsageError, "output_dir: write where it is, .* not None"),
        ({"config": {"task": "gsm8k", "sed": 1}}, UsageError, "config: no setting named 'sed': did you mean seed"),
        ({"config": {"task": "gsm8k", "set": {"gama": 1}}}, UsageError, "config: set.no setting named 'gama'"),
        ({"config": ["x"]}, UsageError, "config: write where it is, as a string or path"),
        ({"resume": True}, UsageError, "resume: write where it is"),
        ({"resume": "nowhere", "output_dir": "x"}, UsageError, "leave out output_dir"),
        ({"resume": "nowhere", "seed": 1}, UsageError, "resume takes every setting but budget .* leave out seed"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_makes_no_folder(tmp_path, monkeypatch, asked, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        hb.train(**asked)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_settings_loses_to_what_is_given(run, model, tmp_path):
    again = hb.train(config=run.files.config, seed=4, output_dir=tmp_path)
    assert {**again.config, "seed": 3} == {**run.config, "budget": again.config["budget"]}


def test_settings_of_a_mapping_or_a_run(run, model, tmp_path):
    asked = {**SMALL, "set": {name: SMALL[name] for name in ("rollouts_per_step", "max_new_tokens", "minibatch_size")}}
    for name in asked["set"]:
        del asked[name]
    first = hb.train(config=asked, model=model, seed=numpy.int64(3), output_dir=tmp_path)
    assert first.config == {**run.config, "budget": 300}
    again = hb.train(config=first, output_dir=tmp_path)
    assert again.files.rollouts.read_bytes() == first.files.rollouts.read_bytes()


def test_what_belongs_to_the_caller_is_left_as_it_was(model, tmp_path):
    logging.enable_progress_bar()
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    hb.train(**SMALL, model=model, output_dir=tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == states[1:]
    assert logging.is_progress_bar_enabled()


def test_ctrl_c_ends_it_after_the_step_with_how_to_go_on(model, tmp_path, monkeypatch):
    handler, step = signal.getsignal(signal.SIGINT), Learner.step
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", lambda *args: (os.kill(os.getpid(), signal.SIGINT), step(*args))[1])
        with pytest.raises(KeyboardInterrupt, match=r"to go on: herl_bench.train\(resume='.*gsm8k-ppo-s0'\)") as stop:
            hb.train(**SMALL, model=str(model), output_dir=tmp_path)
    assert signal.getsignal(signal.SIGINT) == handler
    assert isinstance(stop.value, Interrupted)
    stopped = hb.load_run(stop.value.directory)
    assert not stopped.finished
    assert len(stopped.metrics) == 1
    assert hb.train(resume=stopped.directory).finished


def test_in_a_thread_that_is_not_the_main_one(model, tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(hb.train(**SMALL, model=str(model), output_dir=tmp_path)), daemon=True
    )
    thread.start()
    thread.join(300)
    assert found[0].finished


def test_inside_a_running_event_loop(model, tmp_path):
    async def work():
        return hb.train(**SMALL, model=str(model), output_dir=tmp_path)

    assert asyncio.run(work()).finished


@pytest.mark.parametrize("label", ["before", "after"])
def test_an_evaluation_that_was_killed_before_its_samples_had_a_name_is_made_again(run, tmp_path, label):
    directory = shutil.copytree(run.directory, tmp_path / "run")
    (samples,) = (directory / "eval" / label).glob("samples_*")
    kept = samples.read_bytes()
    samples.rename(samples.with_name(samples.name + ".part"))
    if label == "before":
        shutil.rmtree(directory / "eval" / "after")
    again = hb.train(resume=directory)
    (samples,) = (directory / "eval" / label).glob("samples_*")
    assert again.finished
    assert len(again.evaluation(label).samples) == kept.count(b"\n")


def test_a_run_stands_for_its_folder(run):
    assert hb.train(resume=run) == run
    with pytest.raises(UsageError, match="nothing to compare"):
        hb.compare(run)


@pytest.mark.parametrize("responses", [{"id": "a", "response": "b"}, ["a"], [1], [{"id": {1}}], None])
def test_responses_that_are_no_rows_are_one_line(responses):
    with pytest.raises(UsageError, match=r"responses: a file, or rows .* frame\.to_dict\('records'\)"):
        hb.score(responses, "gsm8k")


def test_another_wording_of_either_form_is_another_template():
    turns = TOY_TEMPLATE.turns
    others = [replace(TOY_TEMPLATE, **{name: "other"}) for name in ("guidance", "prompt")]
    others += [replace(TOY_TEMPLATE, turns=replace(turns, **{n: "other"})) for n in ("guidance", "request", "problem")]
    others += [replace(TOY_TEMPLATE, turns=None)]
    digests = {digest_template(each) for each in [TOY_TEMPLATE, *others]}
    assert len(digests) == 1 + len(others)
