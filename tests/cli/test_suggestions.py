"""What people type first, because another program spells it so."""

import pytest

from herl_bench.cli import main
from herl_bench.cli.suggestions import TABLES, translate_model
from herl_bench.errors import UsageError


def said(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(words)
    out, err = capsys.readouterr()
    assert (left.value.code, out, err.count("\n")) == (2, "", 1), err
    return err.removeprefix("herl-bench: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("run --task gsm8k --learning_rate 1e-5", "--set learning_rate=1e-5"),
        ("run --task gsm8k --learning-rate=1e-5", "--set learning_rate=1e-5"),
        ("run --task gsm8k --lr 1e-5 --seed 1", "the setting is learning_rate: --set learning_rate=1e-5"),
        ("run --task gsm8k --hint_level evidence", "--set hint_level=evidence"),
        ("run --task gsm8k --beta", "--set beta=VALUE"),
        ("run --task gsm8k --rubric terse.yaml", "--set rubric=terse.yaml"),
        ("run --task gsm8k --max_completion_length 64", "--set max_new_tokens=64"),
        ("run --task gsm8k --per_device_train_batch_size 8", "--set minibatch_size=8"),
        ("run --task gsm8k --max_steps 100", "--budget 200k"),
        ("run --task gsm8k --num_train_epochs 3", "--budget 200k"),
        ("run --task gsm8k --model_name_or_path m", "--model PATH_OR_HUB_ID"),
        ("run --task gsm8k --bf16", "--dtype auto, float32 or bfloat16"),
        ("run --task gsm8k --device gpu", "choose from auto, cpu, cuda, cuda:N, mps"),
        ("run --task gsm8k --reward_funcs f", "--set rubric=NAME"),
        ("run gsm8k", "write --task gsm8k"),
        ("run --task gsm8k --set gamma=1 lam=1", "write --set gamma=1 --set lam=1"),
        ("run --task gsm8k --model hf", "--model PATH_OR_HUB_ID"),
        ("run --task gsm8k --model openai", "not trained"),
        ("compare --task gsm8k --learning_rate 1e-4", "--set learning_rate=1e-4"),
        ("eval --model m --tasks gsm8k bbh", "write --tasks gsm8k,bbh"),
        ("eval --model m --model_args a=1 b=2 --tasks gsm8k", "write --model_args a=1,b=2"),
        ("eval m --tasks gsm8k", "write --model m"),
        ("eval --model m --tasks gsm8k --verbosity DEBUG", "on stderr"),
        ("eval --model m --tasks gsm8k --predict_only", "--log_samples"),
        ("eval --model m --tasks gsm8k -x", "--log_samples"),
        ("eval --model tiny --tasks gsm8k --device cuda:99", "device=cuda:99: PyTorch finds none here"),
        ("eval --model m --tasks gsm8k --batch_size lots", "neither a whole number of responses above 0 nor auto"),
        ("eval --model m --tasks lm_eval:arc_easy --write_out", "--write_out is for our own tasks"),
        ("score f.jsonl", "--task is missing: choose from bbh, gsm8k"),
        ("score f.jsonl --task gsm8k --limit 3", "head -n 20 FILE | herl-bench score -"),
        ("score f.jsonl --task gsm8k --model m", "need no model"),
        ("validate gsm8k", "write --task gsm8k"),
        ("validate --tasks gsm8k --limit 3", "--items N"),
        ("validate --tasks gsm8k --template gsm", "no template named 'gsm': did you mean gsm8k?"),
        ("eval --model m --tasks hellaswag", "a task of lm-eval's is lm_eval:hellaswag"),
        ("run --task GSM8K", "did you mean gsm8k?"),
        ("train --task gsm8k", "it is herl-bench run here"),
        ("evaluate", "it is herl-bench eval here"),
    ],
)
def test_an_option_of_others_is_answered_with_ours(capsys, words, answer):
    assert answer in said(capsys, *words.split())


def test_options_that_exist_are_not_explained_away():
    from click import Option

    from herl_bench.cli import cli

    for name, table in TABLES.items():
        command = cli.get_command(None, name)
        own = {flag.lstrip("-") for option in command.params if isinstance(option, Option) for flag in option.opts}
        assert not own & set(" ".join(table.values()).split()), name


LM_EVAL_HAS = [
    "config",
    "tasks",
    "model",
    "model_args",
    "apply_chat_template",
    "limit",
    "use_cache",
    "num_fewshot",
    "batch_size",
    "max_batch_size",
    "device",
    "gen_kwargs",
    "output_path",
    "log_samples",
    "samples",
    "cache_requests",
    "check_integrity",
    "system_instruction",
    "fewshot_as_multiturn",
    "include_path",
    "verbosity",
    "write_out",
    "show_config",
    "wandb_args",
    "wandb_config_args",
    "trackio_args",
    "hf_hub_log_args",
    "predict_only",
    "seed",
    "confirm_run_unsafe_code",
    "metadata",
]


@pytest.mark.parametrize("name", LM_EVAL_HAS)
def test_every_option_of_lm_eval_is_there_or_answered(capsys, name):
    from herl_bench.cli import cli

    there = {flag.lstrip("-") for option in cli.get_command(None, "eval").params for flag in option.opts}
    assert name in there or f"no option --{name}: " in said(capsys, "eval", "--model", "m", f"--{name}", "1")


@pytest.mark.parametrize(
    ("model", "args", "ours"),
    [
        ("hf", "pretrained=runs/x", ("runs/x", None)),
        ("huggingface", "pretrained=org/m,dtype=auto,trust_remote_code=False", ("org/m", None)),
        ("runs/x", None, ("runs/x", None)),
        ("openai", "base_url=http://h/v1,model=m", ("openai", "base_url=http://h/v1,model=m")),
        (
            "local-chat-completions",
            "model=m,base_url=http://h/v1/chat/completions,num_concurrent=4,max_retries=2",
            ("openai", "base_url=http://h/v1,model=m,api=chat,concurrency=4,retries=2"),
        ),
        (
            "local-completions",
            "model=m,base_url=http://h/v1/completions,tokenizer=t,tokenized_requests=False",
            ("openai", "base_url=http://h/v1,model=m,api=completions"),
        ),
        (
            "openai-chat-completions",
            "model=gpt",
            ("openai", "base_url=https://api.openai.com/v1,model=gpt,api=chat,api_key_env=OPENAI_API_KEY"),
        ),
    ],
)
def test_lm_eval_s_models_become_ours(model, args, ours):
    assert translate_model(model, args) == ours


@pytest.mark.parametrize(
    ("model", "args", "answer"),
    [
        ("hf", None, "--model_args pretrained="),
        ("hf", "pretrained=m,dtype=bfloat16", "it is an option of its own here: --dtype"),
        ("hf", "pretrained=m,load_in_4bit=True", "load_in_4bit=True"),
        ("vllm", "pretrained=org/m", "vllm serve org/m"),
        ("local-completions", "base_url=http://h", "--model_args model="),
        ("gguf", None, "not there"),
    ],
)
def test_what_lm_eval_s_models_cannot_become_is_said(model, args, answer):
    with pytest.raises(UsageError, match=answer):
        translate_model(model, args)


def test_a_folder_of_that_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf").mkdir()
    assert translate_model("hf", None) == ("hf", None)


def test_a_group_alone_shows_its_help(capsys):
    with pytest.raises(SystemExit) as left:
        main(["sandbox"])
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert len(err.splitlines()) > 3
    assert "Usage: herl-bench sandbox" in err
