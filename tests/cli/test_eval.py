"""`evaluate` and `herl-bench eval` with real checkpoints, made from configs."""

import hashlib
import json

import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from herl_bench.cli import main
from herl_bench.data.sources import open_eval
from herl_bench.evaluation.evaluate import evaluate
from herl_bench.evaluation.result_files import read_summary
from herl_bench.evaluation.sampling import Sampling
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_template
from herl_bench.plugins import load_host
from herl_bench.policy.load import load_policy
from herl_bench.types import Environment

HOST = load_host()
TASK = HOST.get("task", "gsm8k")
ENVIRONMENT = Environment(TASK, find_rubric(HOST, TASK), find_template(HOST, TASK), find_metrics(HOST, TASK))
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{%"
    " endif %}"
)


def save(folder, chat=None, kind=(LlamaConfig, LlamaForCausalLM)):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({t: i for i, t in enumerate(["<eos>", "<pad>", *alphabet])}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config, model = kind
    shape = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    model(
        config(vocab_size=len(tokenizer), max_position_embeddings=1024, tie_word_embeddings=True, **shape)
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save(tmp_path_factory.mktemp("llama"))


def run(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["eval", *args])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_rows_come_in_batches_and_do_not_depend_on_the_random_state(llama):
    policy = load_policy(llama)
    policy.batch_size = 4
    items = open_eval(TASK, "synthetic", embedded=False, eval_items=5).eval

    def once(seed):
        seen, told = [], []
        sampling = Sampling(6, temperature=1.0, n=2, seed=seed)
        done = evaluate(policy, ENVIRONMENT, items, sampling, on_batch=seen.append, on_answers=told.append)
        assert [len(rows) for rows in seen] == [4, 4, 2]
        assert told == [1] * 10  # each response by itself
        assert [(r.doc_id, r.sample) for r in done.rows] == [(i, s) for i in range(5) for s in range(2)]
        return done

    first = once(1)
    torch.rand(7)
    assert once(1) == first
    assert [r.response for r in once(2).rows] != [r.response for r in first.rows]
    assert (first.summary.items, first.summary.responses) == (5, 10)
    assert first.summary.generated_tokens == sum(r.answer.tokens for r in first.rows)
    assert first.settings.stop == list(TASK.stop)


def test_a_chat_model_gets_the_instruction_and_no_stop_strings(tmp_path):
    policy = load_policy(save(tmp_path, CHAT, (Qwen2Config, Qwen2ForCausalLM)))
    items = open_eval(TASK, "synthetic", embedded=False, eval_items=1).eval
    settings = evaluate(policy, ENVIRONMENT, items, Sampling(2)).settings
    assert (settings.instruction, settings.stop, settings.chat_template) == (TASK.instruction, [], CHAT)


def test_samples_say_what_the_model_was_given(capsys, tmp_path):
    chat = save(tmp_path / "m", CHAT, (Qwen2Config, Qwen2ForCausalLM))
    policy = load_policy(chat)
    for told in ([], ["--system_instruction", "Be brief."]):
        out = tmp_path / f"out{len(told)}"
        args = [
            "--tasks",
            "gsm8k",
            "--model",
            chat,
            "--data",
            "synthetic",
            "--limit",
            "2",
            "--max_new_tokens",
            "2",
            "--num_fewshot",
            "1",
            "--write_out",
        ]
        code, _, err = run(capsys, *args, *told, "--output_path", str(out), "--log_samples", "--batch_size", "1")
        assert code == 0
        (samples,) = out.rglob("samples_gsm8k_*.jsonl")
        row = json.loads(samples.read_text().splitlines()[0])
        given = row["arguments"]["gen_args_0"]["arg_0"]
        assert given.startswith(f"<system>{told[-1] if told else TASK.instruction}<user>Question: ")
        assert given.endswith(f"#### {given.rpartition('####')[2].split()[0]}\n\n{row['doc']['prompt']}<assistant>")
        assert row["prompt_hash"] == hashlib.sha256(given.encode()).hexdigest()
        assert given in err
        (results,) = out.rglob("results_*.json")
        assert json.loads(results.read_text())["config"]["batch_size"] == 1
    assert (
        policy.encode(["4?"], "Sum.")
        == policy.tokenizer([policy.reads("4?", "Sum.")], add_special_tokens=False)["input_ids"]
    )


def test_lm_eval_s_hf_is_the_folder_itself(capsys, llama):
    args = [
        "--tasks",
        "gsm8k",
        "--data",
        "synthetic",
        "--limit",
        "1",
        "--max_new_tokens",
        "2",
        "--format",
        "json",
        "--batch_size",
        "auto:4",
    ]
    assert (
        run(capsys, *args, "--dtype", "float32", "--model", "hf", "--model_args", f"pretrained={llama}")[1]
        == run(capsys, *args, "--model", llama)[1]
    )


def test_the_table_is_true_to_the_files(capsys, tmp_path, llama):
    args = ["--tasks", "gsm8k", "--model", llama, "--data", "synthetic", "--limit", "3", "--max_new_tokens", "5"]
    code, out, _ = run(capsys, *args, "--output_path", str(tmp_path), "--log_samples", "--format", "json")
    assert code == 0
    (folder,) = tmp_path.iterdir()
    said, stored = json.loads(out)["tasks"]["gsm8k"], read_summary(folder)
    assert set(said) - set(stored) == {"available", "problems"}
    for group in ("metrics", "criteria", "families", "planted"):
        stored[group] = {
            name: {**score, "interval": said[group][name]["interval"]} for name, score in stored[group].items()
        }
    assert {name: said[name] for name in stored} == stored
    (samples,) = folder.glob("samples_gsm8k_*.jsonl")
    assert {json.loads(line)["doc_id"] for line in samples.read_text().splitlines()} == {0, 1, 2}
    code, table, _ = run(capsys, *args)
    assert code == 0
    for name in ("exact_match,strict-match", "final_answer", "unparsed", "truncated", "errors"):
        assert name in table


def test_a_run_is_evaluated_as_it_was_set_up(capsys, tmp_path):
    (tmp_path / "final").mkdir()
    save(tmp_path / "final")
    settings = {"task": "gsm8k", "model": "tiny", "data": "synthetic", "eval_items": 4, "set": {"max_new_tokens": 5}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    code, out, _ = run(capsys, "--model", str(tmp_path), "--format", "json")
    assert code == 0
    assert json.loads(out)["tasks"]["gsm8k"]["items"] == 4
    assert read_summary(tmp_path / "eval" / "final")["generated_tokens"] <= 20


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "tiny"], "--tasks is missing: choose from bbh, gsm8k"),
        (["--model", "tiny", "--tasks", "gsm9k"], "did you mean gsm8k"),
        (["--model", "/nowhere/at/all", "--tasks", "gsm8k"], "no such folder"),
        (["--model", "tiny", "--tasks", "gsm8k", "--limit", "0"], "neither a whole number of items nor a share"),
        (["--model", "tiny", "--tasks", "gsm8k", "--output_path", __file__], "is a file: name a folder"),
    ],
)
def test_bad_input_is_one_line_and_2(capsys, args, message):
    code, out, err = run(capsys, *args, "--data", "synthetic")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_run_without_a_policy_says_how_to_finish_it(capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("task: gsm8k\n")
    code, _, err = run(capsys, "--model", str(tmp_path))
    assert code == 2
    assert "--resume" in err
