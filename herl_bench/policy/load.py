"""Load any causal language model of transformers as a policy: a checkpoint folder or a hub id.

What is made sure of here: one device and one precision, dropout off everywhere (log-probs must not depend on the
weather), padding on the left with a token that is not EOS, no randomly initialised weights, and one clear line for
everything that can be wrong with a path. Left out: quantisation, adapters (merge them first), encoder-decoder models.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten
from herl_bench.policy.answerer import Answer, ResolvedSampling
from herl_bench.policy.generation import generate
from herl_bench.policy.language_model import LanguageModel
from herl_bench.policy.placement import CPU, Placement
from herl_bench.saving import SUMS, find_damage

TOKENIZER_FILES = "tokenizer.json tokenizer.model tokenizer_config.json vocab.json vocab.txt spiece.model"


@dataclass
class Policy(LanguageModel):
    """A language model that answers, `batch_size` prompts at once. `path` is what it was loaded from."""

    path: str
    batch_size: int = 64
    placement: Placement = CPU

    @property
    def identity(self) -> dict[str, Any]:
        """The checkpoint's files with sizes and times of change, which are cheap to find, or the hub's revision."""
        files = [path for path in sorted(Path(self.path).glob("*")) if path.is_file()]
        return {
            "path": self.path,
            "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
            "revision": getattr(self.model.config, "_commit_hash", None),
            "dtype": str(self.model.dtype),
            "device": self.placement.kind,
        }

    def answer(self, prompts: Sequence[str], seeds: Sequence[int], sampling: ResolvedSampling) -> list[Answer]:
        """The batch is sampled as one, from one random state made of all its seeds."""
        # By a hash, because the seeds of two batches may differ in a single place.
        state = int.from_bytes(hashlib.sha256(repr(list(seeds)).encode()).digest()[:8], "big", signed=True)
        written = generate(
            self,
            self.encode(prompts, sampling.instruction),
            temperature=sampling.temperature,
            max_new_tokens=sampling.max_new_tokens or 0,
            stop=sampling.stop,
            generator=torch.Generator(device=self.device).manual_seed(state),
        )
        return [Answer(c.text, c.finish, len(c.ids), c.dropped) for c in written]


def load_policy(
    path_or_id: str | Path, *, placement: Placement | None = None, master: bool = False, trust_remote_code: bool = False
) -> Policy:
    """A policy from a checkpoint folder or a hub id, on the CPU in float32 if nothing else is said.

    master: its weights will be trained, and are float32 whatever precision is computed in. trust_remote_code: run
    Python code that comes with the model; else one that needs it is refused.

    Raises `UsageError` where the folder, its config, its weights or its tokenizer cannot be used.
    """
    place, placement = str(path_or_id), placement or CPU
    local = _find_folder(place)
    if local is not None and (fault := find_damage(local)):
        remedy = f"restore the folder, or delete {local / SUMS} if that change was meant"
        raise UsageError(f"model {place}: {fault}: {remedy}")
    source = str(local) if local else place
    dtype = torch.float32 if master else placement.torch_dtype
    with quiet_transformers():
        config = _load_config(source, local, trust_remote_code)
        _switch_off_dropout_fields(config)
        tokenizer = _load_tokenizer(source, local, trust_remote_code)
        model = _load_model(source, config, dtype, trust_remote_code)
        _ensure_padding(model, tokenizer)
    _switch_off_dropout_modules(model)
    model.eval()
    name = (local.resolve().parent.name if local.name == "final" else local.resolve().name) if local else place
    return Policy(model.to(placement.device), tokenizer, name, source, placement=placement)


def load_config(place: str | Path, *, trust_remote_code: bool = False) -> Any:
    """The config of a checkpoint folder or a hub id, alone. Raises `UsageError`."""
    local = _find_folder(str(place))
    return _load_config(str(local or place), local, trust_remote_code)


# --------------------------------------------------------------------------------------------------------------- places
def _find_folder(place: str) -> Path | None:
    """The checkpoint folder, or None where `place` can only be a hub id."""
    folder = Path(place).expanduser()
    if folder.is_file():
        raise UsageError(f"model {place}: that is a file; give the checkpoint folder that holds config.json")
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            inside = folder / "final"
            hint = f"did you mean {inside}?" if (inside / "config.json").is_file() else "that is no checkpoint folder"
            raise UsageError(f"model {place}: no config.json in it: {hint}")
        if not any((folder / name).is_file() for name in TOKENIZER_FILES.split()):
            lacks = f"no tokenizer in it (looked for {', '.join(TOKENIZER_FILES.split())})"
            raise UsageError(f"model {place}: {lacks}: save the tokenizer there too")
        return folder
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", place):
        raise UsageError(f"model {place}: no such folder, and not the form of a hub id (owner/name)")
    return None


def _explain_hub(place: str, error: BaseException) -> UsageError:
    import huggingface_hub.constants as hub

    why = f"the hub did not give it: {flatten(str(error))[:200]}"
    if hub.HF_HUB_OFFLINE:
        why = "not in the local hub cache (HF_HUB_OFFLINE is set, so nothing is fetched)"
    return UsageError(f"model {place}: no such folder, and {why}")


@contextmanager
def _explain(source: str, what: str, of_hub: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Whatever is raised inside becomes one line. what: is wrong. of_hub: errors that come of the hub."""
    try:
        yield
    except Exception as error:
        if "trust_remote_code" in str(error):  # transformers says so in many words
            what = "it brings Python code of its own (auto_map), which is not run unless you ask for it"
            remedy = "read that code, then pass --trust_remote_code if you trust it"
            raise UsageError(f"model {source}: {what}: {remedy}") from None
        if isinstance(error, of_hub):
            raise _explain_hub(source, error) from None
        raise UsageError(f"model {source}: {what}: {flatten(str(error))[:200]}") from None


def _load_config(source: str, local: Path | None, trust: bool) -> Any:
    from transformers import AutoConfig

    with _explain(source, "config.json cannot be used", () if local else Exception):
        return AutoConfig.from_pretrained(source, trust_remote_code=trust)


def _load_tokenizer(source: str, local: Path | None, trust: bool) -> Any:
    from transformers import AutoTokenizer

    with _explain(source, "its tokenizer cannot be loaded", () if local else OSError):
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=trust)
    if tokenizer.eos_token_id is None:
        lacks = "its tokenizer has no EOS token, so a response could never end"
        raise UsageError(f"model {source}: {lacks}: set eos_token")
    return tokenizer


_LOADING = Lock()
"""While transformers loads a model it changes torch for the whole process: another thread would lose tied weights."""


@contextmanager
def making_model(source: str) -> Iterator[None]:
    """Around whatever has transformers make a model: what is raised becomes one line."""
    with _explain(source, "its weights cannot be loaded as a causal language model"), _LOADING:
        yield


def _load_model(source: str, config: Any, dtype: torch.dtype, trust: bool) -> Any:
    from transformers import AutoModelForCausalLM

    with making_model(source):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, config=config, dtype=dtype, output_loading_info=True, trust_remote_code=trust
        )
        model, info = loaded
    if missing := sorted(info["missing_keys"]):
        lacks = f"{len(missing)} weights are not in the checkpoint, {missing[0]} among them"
        raise UsageError(f"model {source}: {lacks}: not a causal LM?")
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Progress bars and loading reports are for people who load by hand; what matters raises."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


# -------------------------------------------------------------------------------------------------- dropout and padding
def _switch_off_dropout_fields(config: Any) -> None:
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        for name, value in vars(part).items():
            if isinstance(value, float) and ("dropout" in name or name.endswith(("_drop", "_pdrop"))):
                setattr(part, name, 0.0)


def _switch_off_dropout_modules(model: Any) -> None:
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout", "hidden_dropout"):
            if isinstance(vars(module).get(name), float) and (name != "p" or "Dropout" in type(module).__name__):
                setattr(module, name, 0.0)


def _ensure_padding(model: Any, tokenizer: Any) -> None:
    """A padding token that is not EOS: trained on, EOS must mean the end and nothing else.

    An unused special token is taken where there is one; else one is added, and the embedding grows only if it has no
    spare row (many published models have). A grown row starts at the mean of the others: as improbable as any.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        taken = {tokenizer.eos_token, tokenizer.bos_token}
        special = [t for t in map(str, tokenizer.all_special_tokens) if t not in taken]
        added = [token for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
        special += [token.content for token in added if token.content not in taken]
        spare = [t for t in special if "pad" in t.lower()]
        spare += [t for t in special if "unk" in t.lower() or "reserved" in t.lower()]
        if spare:
            tokenizer.pad_token = spare[0]
        else:
            tokenizer.add_special_tokens({"pad_token": "<pad>"})
            if len(tokenizer) > model.get_input_embeddings().num_embeddings:
                model.resize_token_embeddings(len(tokenizer))
    for config in (model.config, model.config.get_text_config(), model.generation_config):
        if config is not None:
            config.pad_token_id = tokenizer.pad_token_id
