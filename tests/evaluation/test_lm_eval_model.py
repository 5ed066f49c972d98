"""lm-eval's tasks on our policies: the same likelihoods and texts as lm-eval's own `hf` model, and its options through
`herl-bench eval`."""

import json
import warnings

import pytest

from herl_bench.cli import main
from herl_bench.errors import DataError, UnknownName, UsageError
from herl_bench.policy.load import load_policy
from herl_bench.testing import tiny_checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.utils import make_table

    from herl_bench.evaluation.lm_eval_model import PolicyLM
    from herl_bench.evaluation.lm_eval_run import INVALID, Options, load_tasks, measure_rates, run_tasks

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's own

CHOICES = ("two apples", "no apples at all", "2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("chat") / "model", "qwen2", chat_template=True)


@pytest.fixture(scope="module")
def pair(checkpoint):
    """Ours and lm-eval's, on one checkpoint."""
    return PolicyLM(load_policy(checkpoint)), HFLM(
        pretrained=str(checkpoint), dtype="float32", device="cpu", batch_size=3
    )


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder of lm-eval tasks of the three kinds, on local files."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"q": f"{n} and {n} make", "a": n % 3, "c": list(CHOICES), "text": f"{n} " * n} for n in range(1, 13)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"train": str(folder / "rows.jsonl"), "test": str(folder / "rows.jsonl")},
            "cache_dir": str(folder),
        },
        "test_split": "test",
        "fewshot_split": "train",
        "metadata": {"version": 1.0},
    }
    mean = {"aggregation": "mean", "higher_is_better": True}
    files = {
        "local_choice": {
            "output_type": "multiple_choice",
            "doc_to_text": "{{q}}",
            "doc_to_target": "{{a}}",
            "doc_to_choice": "{{c}}",
            "metric_list": [{"metric": "acc", **mean}, {"metric": "acc_norm", **mean}],
        },
        "local_text": {
            "output_type": "generate_until",
            "doc_to_text": "{{q}}",
            "doc_to_target": "{{c[a]}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
            "metric_list": [{"metric": "exact_match", **mean}],
        },
        "local_perplexity": {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}],
        },
    }
    for name, spec in files.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **data, **spec}))
    return folder


def requests(*arguments):
    return [Instance("any", {}, a, 0) for a in arguments]


# ------------------------------------------------------------------------------------------------------------ the model
def test_likelihoods_are_those_of_lm_evals_own_model(pair):
    asked = [
        ("Tom has two", " apples"),
        ("Tom has two", "t"),
        ("Tom has two", "u"),
        ("Tom has two ", "and"),
        ("", "from nothing"),
        ("x" * 700, "cut on the left"),
        ("<bos>a", "b"),
    ]
    ours, theirs = (lm.loglikelihood(requests(*asked), disable_tqdm=True) for lm in pair)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-4)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_greedy_is_what_lm_evals_own_model_calls_greedy(pair):
    letters = "abcdefghijklmnopqrstuvwxyz ,.0123456789"
    asked = requests(*((one * 3, other) for one in letters if one != " " for other in letters))
    ours, theirs = ([greedy for _, greedy in lm.loglikelihood(asked, disable_tqdm=True)] for lm in pair)
    assert ours == theirs
    assert 0 < sum(ours) < len(ours)


def test_a_context_of_spaces_follows_the_first_token(pair):
    """lm-eval's own model fails on it."""
    assert pair[0].loglikelihood(requests(("  ", "x")), disable_tqdm=True)[0] == pytest.approx(
        pair[0].loglikelihood(requests(("", "  x")), disable_tqdm=True)[0]
    )


def test_rolling_likelihoods_of_texts_longer_than_the_model(pair):
    texts = [("short",), ("a long text. " * 100,)]
    ours, theirs = (lm.loglikelihood_rolling(requests(*texts), disable_tqdm=True) for lm in pair)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-4)


@pytest.mark.parametrize(
    "how",
    [
        {"until": ["\n", "e"], "max_gen_toks": 24},
        {"max_gen_toks": 16, "do_sample": False, "top_p": 0.9},
        {"until": "a"},
    ],
)
def test_greedy_texts_are_those_of_lm_evals_own_model(pair, how):
    asked = requests(*((f"{n} and {'n' * n} make", dict(how)) for n in (1, 5, 30, 400)))
    ours, theirs = (lm.generate_until(asked, disable_tqdm=True) for lm in pair)
    assert ours == theirs


def test_chat_prompts_are_those_of_lm_evals_own_model(pair):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert pair[0].apply_chat_template(turns) == pair[1].apply_chat_template(turns)
    assert pair[0].chat_template(True) == pair[1].chat_template(True)
    assert pair[0].tokenizer_name == pair[1].tokenizer_name


def test_sampling_follows_the_seed(checkpoint):
    policy, asked = (
        load_policy(checkpoint),
        requests(("hello", {"do_sample": True, "temperature": 1.0, "max_gen_toks": 12})),
    )
    first, again, other = (PolicyLM(policy, seed=seed).generate_until(asked) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"do_sample": True, "temperature": 1.0, "top_p": 0.9}, "top_p=0.9 is not supported"),
        ({"repetition_penalty": 1.2}, "repetition_penalty=1.2 is not supported"),
        ({"do_sample": True}, "needs a temperature above 0"),
        ({"max_gen_toks": 512}, "leaves no room for a prompt"),
    ],
)
def test_what_the_engine_cannot_do_is_refused(pair, how, said):
    with pytest.raises(UsageError, match=said):
        pair[0].generate_until(requests(("hello", how)))


# ------------------------------------------------------------------------------------------------------------ the tasks
def test_few_shot_turns_and_instruction_reach_the_prompt(checkpoint, tasks):
    options = Options(num_fewshot=2, limit=1, apply_chat_template=True, system_instruction="Be brief.")
    section, samples = run_tasks(load_policy(checkpoint), load_tasks(["local_text"], [tasks]), options)
    prompt = samples["local_text"][0]["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.startswith("<system>Be brief.\n<user>")
    assert (prompt.count("<user>"), prompt.count("<assistant>")) == (3, 3)
    assert section["n-shot"] == {"local_text": 2}


def test_cached_responses_are_not_asked_for_again(checkpoint, tasks, tmp_path, monkeypatch):
    policy, loaded = load_policy(checkpoint), load_tasks(["local_text", "local_choice", "local_perplexity"], [tasks])
    options = Options(limit=3, use_cache=str(tmp_path / "cache"))
    first, _ = run_tasks(policy, loaded, options)
    monkeypatch.setattr(policy.model, "forward", None)
    second, _ = run_tasks(policy, load_tasks(["local_text", "local_choice", "local_perplexity"], [tasks]), options)
    assert second["results"] == first["results"]


def test_an_unknown_task_has_near_names(tasks):
    with pytest.raises(UnknownName, match="no lm_eval task named 'arc_eazy': did you mean arc_easy"):
        load_tasks(["arc_eazy"])


def test_a_task_whose_data_lies_on_the_hub_is_one_clear_line():
    with pytest.raises(DataError, match="lm_eval:arc_easy: its data cannot be loaded here") as caught:
        load_tasks(["arc_easy"])
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- the command
def run(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["eval", *map(str, args)])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_our_tasks_and_theirs_in_one_results_file(capsys, checkpoint, tasks, tmp_path):
    code, out, err = run(
        capsys,
        "--tasks",
        "gsm8k,lm_eval:local_choice,lm_eval:local_text",
        "--model",
        checkpoint,
        "--include_path",
        tasks,
        "--data",
        "synthetic",
        "--samples",
        '{"gsm8k": [3, 1], "local_text": [0, 5]}',
        "--num_fewshot",
        "1",
        "--gen_kwargs",
        'max_gen_toks=4,until=["\\n"]',
        "--output_path",
        tmp_path,
        "--log_samples",
        "--format",
        "json",
    )
    assert code == 0
    shown = json.loads(out)
    written = json.loads(next(tmp_path.rglob("results_*.json")).read_text())
    assert set(written["results"]) == {"gsm8k", "local_choice", "local_text"}
    assert shown["lm_eval"]["results"]["local_choice"] == written["results"]["local_choice"]
    assert written["n-shot"] == {"gsm8k": 1, "local_choice": 1, "local_text": 1}
    assert [written["n-samples"][name]["effective"] for name in ("gsm8k", "local_choice", "local_text")] == [2, 12, 2]
    assert (written["config"]["fewshot_seed"], written["config"]["random_seed"]) == (1234, 0)
    assert "|local_choice|" in make_table(written)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".db", ".part")]
    rows = [json.loads(line) for line in next(tmp_path.rglob("samples_gsm8k_*")).read_text().splitlines()]
    prompt = rows[0]["arguments"]["gen_args_0"]["arg_0"]
    assert rows[0]["doc"]["prompt"] in prompt  # a chat template stands around it
    assert prompt.count("Question:") == 2
    assert rows[0]["arguments"]["gen_args_0"]["arg_1"] == {
        "until": ["\n"],
        "do_sample": False,
        "temperature": 0.0,
        "max_gen_toks": 4,
    }
    text = [json.loads(line) for line in next(tmp_path.rglob("samples_local_text_*")).read_text().splitlines()]
    assert [row["doc_id"] for row in text] == [0, 5]
    assert written["herl_bench"]["rates"] == {
        "local_text": {"responses": 2, "truncated": 1.0, "empty": 0.0, "unparsed": 0.0}
    }
    assert "warning: local_text: 100.0% of the responses are cut off" in err


def test_rates_of_what_lm_eval_counts_as_wrong():
    def sample(doc_id, text, found, filter_name="strict"):
        return {"doc_id": doc_id, "resps": [[text]], "filtered_resps": [found], "filter": filter_name,
                "arguments": {"gen_args_0": {"arg_0": f"prompt {doc_id}"}}}  # fmt: skip

    samples = [sample(0, "so 4", "4"), sample(1, " ", INVALID), sample(2, "four", INVALID), sample(3, "the 7", INVALID)]
    samples += [sample(i, row["resps"][0][0], "7" if i == 3 else INVALID, "loose") for i, row in enumerate(samples)]
    found = measure_rates(samples, {"prompt 0": "eos", "prompt 2": "length"})
    assert found == {"responses": 4, "truncated": 0.5, "empty": 0.25, "unparsed": 0.5}
    assert measure_rates(samples, {})["truncated"] is None
    assert measure_rates([{**samples[0], "resps": [[[-1.5, False]]]}], {}) == {}


def test_a_share_of_the_items(capsys, checkpoint, tasks):
    code, out, _ = run(
        capsys,
        "--tasks",
        "lm_eval:local_choice",
        "--model",
        checkpoint,
        "--include_path",
        tasks,
        "--limit",
        "0.25",
        "--format",
        "json",
    )
    assert (code, json.loads(out)["lm_eval"]["results"]["local_choice"]["sample_len"]) == (0, 3)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--tasks", "lm_eval:local_text", "--model", "tiny"], "--model tiny is another policy for each"),
        (["--tasks", "lm_eval:", "--model", "CHECKPOINT"], "lacks the name"),
        (
            ["--tasks", "gsm8k", "--model", "CHECKPOINT", "--gen_kwargs", "top_p=0.9"],
            "--gen_kwargs top_p is not supported",
        ),
        (["--tasks", "gsm8k", "--model", "CHECKPOINT", "--gen_kwargs", "top_p"], "not KEY=VALUE"),
        (["--tasks", "gsm8k", "--model", "CHECKPOINT", "--use_cache", "x"], "--use_cache is for lm_eval: tasks"),
        (
            ["--tasks", "gsm8k", "--model", "CHECKPOINT", "--samples", '{"gsm8k": [1]}', "--limit", "3"],
            "leave --limit out",
        ),
        (
            ["--tasks", "gsm8k", "--model", "CHECKPOINT", "--samples", '{"gsm8k": [9999]}'],
            "gsm8k has the items 0 to 199",
        ),
        (["--tasks", "gsm8k", "--model", "CHECKPOINT", "--seed", "1,2"], "neither one whole number nor four"),
        (
            ["--tasks", "lm_eval:local_text", "--model", "CHECKPOINT", "--fewshot_as_multiturn"],
            "needs --apply_chat_template",
        ),
        (
            ["--tasks", "lm_eval:local_text", "--model", "CHECKPOINT", "--samples", '{"local_text": [12]}'],
            "local_text has the items 0 to 11",
        ),
        (["--tasks", "lm_eval:local_text", "--model", "CHECKPOINT", "--include_path", "/nowhere"], "no such folder"),
        (
            ["--tasks", "lm_eval:local_text", "--model", "CHECKPOINT", "--n", "2", "--temperature", "1"],
            "--n is for our own tasks",
        ),
    ],
)
def test_bad_options_are_one_line_and_2(capsys, checkpoint, tasks, args, said):
    args = [str(checkpoint) if a == "CHECKPOINT" else a for a in args]
    code, out, err = run(
        capsys, *args, *([] if "--include_path" in args else ["--include_path", tasks]), "--data", "synthetic"
    )
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("herl-bench: ")]
    assert len(lines) == 1
    assert said in lines[0]
