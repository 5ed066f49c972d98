"""What people type first because lm-eval, TRL or a deep-learning habit spells it so, and what to type here instead.

An option that a command lacks is looked up here before click's own list of similar spellings: a setting is answered
with its `--set`, anything else with the nearest thing, or with why there is none. lm-eval's kinds of models (`--model
hf`, `vllm`, `local-completions`, …) become ours where they can.

Left out: options that are spelt almost like ours, which click names by itself.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from herl_bench.errors import UsageError
from herl_bench.plugins import Host

COMMANDS = {
    "run": "train",
    "eval": "evaluate test",
    "ls": "list",
    "validate": "check",
    "score": "rescore judge",
    "compare": "sweep",
    "warmstart": "sft",
    "--version": "version",
    "--help": "help",
}
SETTINGS = {
    "learning_rate": "lr actor_lr actor_learning_rate",
    "critic_learning_rate": "critic_lr",
    "minibatch_size": "per_device_train_batch_size mini_batch_size",
    "rollouts_per_step": "train_batch_size batch_size rollout_batch_size",
    "max_new_tokens": "max_completion_length response_length max_length max_tokens",
    "num_generations": "num_samples num_return_sequences n_samples_per_prompt n",
    "kl_coef": "kl_coeff init_kl_coef",
    "cliprange": "clip_range cliprange_lower",
    "cliprange_value": "vf_clip",
    "lam": "gae_lambda lambda",
    "entropy_coef": "ent_coef",
    "max_grad_norm": "grad_clip",
    "eval_items": "limit max_eval_samples",
    "num_ppo_epochs": "ppo_epochs",
    "eval_steps": "eval_every eval_interval",
    "save_steps": "save_every save_interval",
}

CHAT_VARIABLES = "--chat_template_kwargs '{enable_thinking: false}'"
ONE_PASS = "there are no epochs over the data: training ends where its generated tokens are spent: --budget 200k"
ON_DEVICE = "one device in one process: --device auto, cpu, cuda, cuda:N or mps"
IN_PRECISION = "--dtype auto, float32 or bfloat16"
SIZE = "memory is bounded by tokens: --set microbatch_tokens=2048"
WEIGHTS = "the whole model is trained, without adapters or quantisation: leave it out"
CONSTANT = "the learning rate is constant, without warm-up or decay: --set learning_rate=1e-5"
LEAVE = "nothing like it here: leave it out"
JUDGED = "rewards are a rubric's: --set rubric=NAME or FILE.yaml (herl-bench ls rubrics)"
LOGS = "every step is logged, to metrics.jsonl: leave it out"
TRACKER = "another tracker of accelerate's is --report_to NAME"

TRAINING = {
    "--model PATH_OR_HUB_ID": "model_name_or_path model_name pretrained base_model",
    "the folder or hub id itself: --model PATH_OR_HUB_ID": "model_args",
    "--task NAME, and --data DIR for its files": "dataset dataset_name dataset_path data_path data_dir",
    ONE_PASS: "max_steps num_train_epochs epochs num_epochs steps total_episodes total_steps",
    "--budget 200k": "tokens max_train_tokens num_tokens",
    "--resume RUN, with the run's folder": "resume_from_checkpoint resume_from checkpoint",
    "--output_dir DIR": "output output_path out out_dir save_dir log_dir run_name name",
    "a run never writes over another: it gets a folder of its own": "overwrite_output_dir",
    ON_DEVICE: "use_cpu gpus num_gpus",
    IN_PRECISION: "torch_dtype bf16 fp16 mixed_precision",
    SIZE: "gradient_accumulation_steps gradient_checkpointing per_device_eval_batch_size",
    WEIGHTS: "use_peft use_lora lora_r lora_alpha load_in_4bit load_in_8bit peft",
    CONSTANT: "warmup_steps warmup_ratio lr_scheduler_type lr_scheduler weight_decay optim",
    LEAVE: "use_vllm vllm_mode deepspeed fsdp num_processes ddp push_to_hub hub_model_id",
    JUDGED: "reward_funcs reward_model reward_model_path reward_fn reward",
    LOGS: "logging_steps logging_dir log_level log_completions verbose verbosity",
    TRACKER: "wandb wandb_project wandb_args tensorboard",
    "--set eval_steps=20, in steps; else before and after alone": "eval_strategy evaluation_strategy do_eval",
    "--set save_steps=20, in steps": "save_strategy",
    "run trains and evaluates: leave it out": "do_train",
    "--system_instruction TEXT": "system_prompt system_message",
    CHAT_VARIABLES: "enable_thinking chat_template_args",
    "run trains by one --method; several are compared by herl-bench compare --methods ppo,herl": "methods",
    "one run has one --seed; several are compared by herl-bench compare --seeds 5": "seeds",
    "responses are drawn from the whole distribution, by --set temperature=1.0 alone": "top_p top_k",
}

STORED = (
    "responses are kept by --output_path DIR --log_samples, and judged again, without the model, by herl-bench score"
)
QUIET = (
    "nothing to turn up or down: results are on stdout, warnings on stderr (LMEVAL_LOG_LEVEL is for lm-eval's own log)"
)
SERVER = "a server is --model openai --model_args base_url=http://127.0.0.1:8000/v1,model=NAME"
SAMPLING = "responses are drawn from the whole distribution: --temperature alone, or --gen_kwargs"
OWN_RUBRIC = (
    "a run is judged by its own rubric, a model by the task's; stored responses by any: herl-bench score FILE --rubric"
    " NAME"
)
TRACKED = "results are files: --output_path DIR"

EVALUATING = {
    "options are given on the command line; a run's settings come from --model RUN": "config",
    "a run's settings come from --model RUN; else there is an option for each (herl-bench eval --help)": "set",
    ON_DEVICE: "gpus",
    IN_PRECISION: "torch_dtype",
    "--batch_size N": "max_batch_size",
    "prompts are made anew each time, which costs next to nothing: leave it out": "cache_requests",
    "herl-bench validate checks a task against its gold answers": "check_integrity",
    "the settings stand in the results file, under configs and herl_bench: --output_path DIR": "show_config",
    QUIET: "verbosity v verbose quiet log_level",
    STORED: "predict_only x save_predictions",
    TRACKED: "wandb_args wandb_config_args trackio_args hf_hub_log_args report_to push_to_hub",
    "programs always run in the sandbox: leave it out": "confirm_run_unsafe_code",
    "a task's folder is --data DIR": "metadata",
    "--output_path DIR": "output_dir output out save_dir",
    "--system_instruction TEXT": "system_prompt system_message",
    CHAT_VARIABLES: "enable_thinking chat_template_args",
    "--model PATH_OR_HUB_ID": "model_name_or_path model_name pretrained",
    "--tasks NAME, and --data DIR for its files": "dataset dataset_name dataset_path data_dir",
    SERVER: "base_url api_key api_base endpoint",
    "--max_new_tokens N": "max_tokens max_gen_toks max_length max_completion_length",
    SAMPLING: "top_p top_k do_sample num_beams",
    "--n N, with a --temperature": "num_samples n_samples repeats k num_return_sequences num_generations",
    "--limit N": "eval_items max_eval_samples num_examples",
    OWN_RUBRIC: "rubric",
    "the evaluation split is evaluated; --samples chooses among its items": "split",
}

SCORING = {
    "every row is scored; some of them by head -n 20 FILE | herl-bench score - --task NAME": "limit n items",
    "stored responses need no model; herl-bench eval asks one": "model model_args",
    "all metrics of the task are shown; pass@k comes with --allow_duplicates": "metric metrics k",
    "--output_path FILE": "output output_dir out o log_samples",
    "the file stands first: herl-bench score FILE --task NAME": "samples file input predictions",
    "--jobs N": "num_workers",
}
VALIDATING = {
    "every item is looked at; of an endless synthetic world --items N": "limit n num_examples",
    "gold answers are judged, without a model; herl-bench eval asks one": "model model_args",
    "--data DIR": "data_dir dataset data_path",
    "--tasks NAME, with --rubric FILE.yaml": "checks",
}
COMPARING = {advice: names for advice, names in TRAINING.items() if names not in ("methods", "seeds")}
TABLES = {"run": TRAINING, "compare": COMPARING, "eval": EVALUATING, "score": SCORING, "validate": VALIDATING}


def find_ours(table: Mapping[str, str], theirs: str) -> str:
    """What to write here instead of another program's word, by a table of ours → theirs; empty where it is unknown."""
    return next((ours for ours, spellings in table.items() if theirs in spellings.split()), "")


def answer(error: click.UsageError, host: Host, typed: Sequence[str]) -> str:
    """What to type instead of what click did not take; empty where nothing is known. typed: the command's own words."""
    command = error.ctx.command.name if error.ctx and error.ctx.command.name else ""
    if isinstance(error, click.NoSuchOption):
        return _answer_option(command, error.option_name, host, typed)
    if isinstance(error, click.MissingParameter) and command == "eval" and typed and not typed[0].startswith("-"):
        return f"{typed[0]!r} belongs to no option: write --model {shlex.quote(typed[0])}"
    if isinstance(error, click.MissingParameter) and error.param and "--task" in error.param.opts:
        return f"--task is missing: choose from {', '.join(sorted(host.entries('task')))}"
    if "unexpected extra argument" in error.format_message():
        return _answer_extra(error.format_message(), host, typed)
    return ""


def _answer_option(command: str, option: str, host: Host, typed: Sequence[str]) -> str:
    name = option.lstrip("-").replace("-", "_")
    if command in ("run", "compare", "probe"):
        value = _find_value(option, typed)
        if name in _list_settings(host):
            return f"no option {option}: it is a setting: --set {name}={value}"
        if setting := find_ours(SETTINGS, name):
            return f"no option {option}: the setting is {setting}: --set {setting}={value}"
    advice = find_ours(TABLES.get(command, {}), name)
    return f"no option {option}: {'write ' if advice.startswith('--') else ''}{advice}" if advice else ""


def _list_settings(host: Host) -> set[str]:
    """Every setting of a run, and of the methods that are installed."""
    from herl_bench.settings import Settings

    kinds = [Settings, *(method.config for method in host.items("method").values())]
    return {field.name for kind in kinds if dataclasses.is_dataclass(kind) for field in dataclasses.fields(kind)}


def _find_value(option: str, typed: Sequence[str]) -> str:
    """What was given to it, quoted for a shell."""
    for i, word in enumerate(typed):
        if word.startswith(f"{option}="):
            return shlex.quote(word.partition("=")[2])
        if word == option and i + 1 < len(typed) and not typed[i + 1].startswith("--"):
            return shlex.quote(typed[i + 1])
    return "VALUE"


def _answer_extra(message: str, host: Host, typed: Sequence[str]) -> str:
    """Values that lm-eval takes with blanks between them, and the name of a task where an option belongs."""
    extra = message.partition("(")[2].rpartition(")")[0].split()
    if not extra or extra[0] not in typed:
        return ""
    first, at = extra[0], typed.index(extra[0])
    start = next((i for i in range(at - 1, -1, -1) if typed[i].startswith("-")), None)
    if start is not None and at - start >= 2:
        option, words = typed[start], [*typed[start + 1 : at], *extra]
        joined = f" {option} ".join(words) if option == "--set" else ",".join(word.strip(",") for word in words)
        return f"{first!r} belongs to no option: write {option} {joined}"
    if first in host.entries("task"):
        return f"{first!r} belongs to no option: write --task {first}"
    return ""


# ----------------------------------------------------------------------------------------------------- lm-eval's models
LOCAL = ("hf", "hf-auto", "huggingface")
SERVED = {"vllm": "vllm serve", "sglang": "python -m sglang.launch_server --model-path", "vllm-vlm": "vllm serve"}
CHAT = ("local-chat-completions", "openai-chat-completions")
COMPLETIONS = ("local-completions", "openai-completions")
OTHERS = """
anthropic-chat anthropic-chat-completions anthropic-completions dummy ggml gguf hf-audiolm-qwen hf-mistral3
hf-multimodal ipex litellm litellm-chat litellm-chat-completions mamba_ssm megatron_lm nemo_lm neuronx
onnxruntime onnxruntime-genai openvino sglang-generate steered textsynth trtllm watsonx_llm winml
"""
OPENAI = "https://api.openai.com/v1"
UNSEEN = ("tokenizer", "tokenizer_backend", "tokenized_requests")
"""lm-eval's arguments of a server that change nothing where the text goes as it is."""
RENAMED = {"num_concurrent": "concurrency", "max_retries": "retries"}
ALREADY_SO = {
    "dtype": ("auto",),
    "device": ("auto",),
    "backend": ("causal", "default"),
    "trust_remote_code": ("False", "false"),
    "parallelize": ("False", "false"),
}
"""lm-eval's arguments whose value is what happens here anyway."""


def translate_model(model: str, model_args: str | None) -> tuple[str, str | None]:
    """`--model` and `--model_args` as lm-eval spells them, in our words; ours come back. Raises `UsageError`."""
    from herl_bench.policy.server import parse_model_args

    theirs = {*LOCAL, *SERVED, *CHAT, *COMPLETIONS, *OTHERS.split()}
    if model not in theirs or Path(model).is_dir():
        return model, model_args
    if model in OTHERS.split():
        raise UsageError(f"--model {model} is not there: name a checkpoint folder or a hub id; {SERVER}")
    given = parse_model_args(model_args or "")
    path = given.pop("pretrained", None) or given.pop("model", None)
    if model in SERVED:
        name = path or "PATH"
        raise UsageError(
            f"--model {model} is not there yet: --model {name} has our own engine; or start `{SERVED[model]} {name}`"
            f" and pass --model openai --model_args base_url=http://127.0.0.1:8000/v1,model={name}"
        )
    if path is None:
        key = "pretrained" if model in LOCAL else "model"
        itself = "or name the folder or hub id itself: --model PATH_OR_HUB_ID"
        raise UsageError(f"--model {model} needs --model_args {key}=…; {itself}")
    given = {name: value for name, value in given.items() if value not in ALREADY_SO.get(name, ())}
    if model in LOCAL:
        for name, value in given.items():
            why = "a local model is read as it lies in its folder: leave it out"
            if name in ("trust_remote_code", "device", "dtype"):
                why = f"it is an option of its own here: --{name}"
            if name in ("enable_thinking", "chat_template_args"):
                why = f"it is an option of its own here: {CHAT_VARIABLES}"
            raise UsageError(f"--model_args {name}={value}: {why}")
        return path, None
    if model.startswith("openai-"):
        given = {"base_url": OPENAI, "api_key_env": "OPENAI_API_KEY", **given}
    api = "chat" if model in CHAT else "completions"
    url = given.pop("base_url", "").rstrip("/").removesuffix("/completions").removesuffix("/chat")
    known = {RENAMED.get(name, name): value for name, value in given.items() if name not in UNSEEN}
    args = {"base_url": url, "model": path, "api": api, **known}
    return "openai", ",".join(f"{name}={value}" for name, value in args.items())
