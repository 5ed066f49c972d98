"""Where a model lies: a checkpoint folder, a GGUF file or a hub id; and one clear line for what transformers says.

Left out: the weights and the tokenizer (`load.py`), and how a GGUF file is read (`gguf.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten
from herl_bench.policy.adapters import Base, find_base
from herl_bench.policy.gguf import check_gguf, is_gguf, quote_first, read_gguf_config
from herl_bench.saving import SUMS, find_damage

TOKENIZER_FILES = "tokenizer.json tokenizer.model tokenizer_config.json vocab.json vocab.txt spiece.model"


@dataclass(frozen=True)
class Checkpoint:
    """place: what was named, as messages repeat it. folder: that holds it, None for a hub id. gguf: the file's name in
    the folder, where it is one. base: what the adapter in the folder goes on, where it is one."""

    place: str
    folder: Path | None = None
    gguf: str | None = None
    base: Base | None = None

    @property
    def source(self) -> str:
        """What transformers' loaders take first."""
        return str(self.folder or self.place)

    @property
    def options(self) -> dict[str, Any]:
        """What they take besides."""
        return {"gguf_file": self.gguf} if self.gguf else {}

    @property
    def file(self) -> Path | None:
        """The GGUF file."""
        return self.folder / self.gguf if self.folder and self.gguf else None

    @property
    def path(self) -> str:
        """The folder or file, or the hub id."""
        return str(self.file or self.source)

    @property
    def name(self) -> str:
        """For tables: a run's `final/` is called after the run."""
        if self.folder is None:
            return self.place
        whole = self.folder.resolve()
        return Path(self.gguf).stem if self.gguf else whole.parent.name if self.folder.name == "final" else whole.name


def find_checkpoint(place: str | Path) -> Checkpoint:
    """What `place` names. Raises `UsageError` where that can be no model."""
    place = str(place)
    folder = Path(place).expanduser()
    if folder.is_file():
        if not is_gguf(folder):
            raise UsageError(f"model {place}: that is a file; give the checkpoint folder that holds config.json")
        check_gguf(folder, place)
        return Checkpoint(place, folder.parent, folder.name)
    if folder.is_dir():
        if base := find_base(folder):
            return Checkpoint(place, folder, base=base)
        _check_folder(folder, place)
        return Checkpoint(place, folder)
    if place.lower().endswith(".gguf"):
        raise UsageError(f"model {place}: no such file: name a GGUF file that is there")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", place):
        raise UsageError(f"model {place}: no such folder, and not the form of a hub id (owner/name)")
    return Checkpoint(place)


def _check_folder(folder: Path, place: str) -> None:
    if not (folder / "config.json").is_file():
        inside = folder / "final"
        is_run = any((inside / name).is_file() for name in ("config.json", "adapter_config.json"))
        hint = f"did you mean {inside}?" if is_run else "that is no checkpoint folder"
        if files := sorted(folder.glob("*.gguf")):
            hint = f"did you mean {files[0]}?"
        raise UsageError(f"model {place}: no config.json in it: {hint}")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES.split()):
        lacks = f"no tokenizer in it (looked for {', '.join(TOKENIZER_FILES.split())})"
        raise UsageError(f"model {place}: {lacks}: save the tokenizer there too")


def check_sums(checkpoint: Checkpoint) -> None:
    """Raises `UsageError` where a file of a folder that herl-bench wrote is not as it was written."""
    folder = checkpoint.folder
    if folder is not None and not checkpoint.gguf and (fault := find_damage(folder)):
        remedy = f"restore the folder, or delete {folder / SUMS} if that change was meant"
        raise UsageError(f"model {checkpoint.place}: {fault}: {remedy}")


# --------------------------------------------------------------------------------------------------------------- config
def load_config(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> Any:
    """The config alone. Raises `UsageError` where it cannot be read, or is of no causal language model."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    if checkpoint.base:
        return load_config(find_checkpoint(checkpoint.base.model), trust_remote_code=trust_remote_code)
    if checkpoint.file is not None:
        config = read_gguf_config(checkpoint.file, checkpoint.place)
    else:
        remedy = "save the model's own config.json there again"
        with explain(checkpoint, "config.json cannot be used", () if checkpoint.folder else Exception, remedy):
            config = AutoConfig.from_pretrained(checkpoint.source, trust_remote_code=trust_remote_code)
    brings_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if config.is_encoder_decoder or not (type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or brings_code):
        what = f"its architecture {config.model_type!r} is no causal language model, so it cannot continue a text"
        raise UsageError(f"model {checkpoint.place}: {what}: name a model that writes from left to right")
    return config


# -------------------------------------------------------------------------------------------------- transformers' words
@contextmanager
def explain(
    checkpoint: Checkpoint, what: str, of_hub: type[Exception] | tuple[()] = (), remedy: str = ""
) -> Iterator[None]:
    """Whatever is raised inside becomes one line. what: is wrong. of_hub: errors that come of the hub. remedy: what to
    do, where transformers does not say it."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        place = checkpoint.place
        if "trust_remote_code" in str(error):  # transformers says so in many words
            what = "it brings Python code of its own (auto_map), which is not run unless you ask for it"
            remedy = "read that code, then pass --trust_remote_code if you trust it"
            raise UsageError(f"model {place}: {what}: {remedy}") from None
        if isinstance(error, of_hub):
            raise _explain_hub(place, error) from None
        said = quote_first(error)
        if "ignore_mismatched_sizes" in said:
            said = "their shapes are not those that config.json says"
        raise UsageError(f"model {place}: {what}: {said}{f': {remedy}' if remedy else ''}") from None


def _explain_hub(place: str, error: BaseException) -> UsageError:
    import huggingface_hub.constants as hub

    why = f"the hub did not give it: {flatten(str(error))[:200]}"
    if hub.HF_HUB_OFFLINE:
        why = "not in the local hub cache (HF_HUB_OFFLINE is set, so nothing is fetched)"
    return UsageError(f"model {place}: no such folder, and {why}")


_LOADING = Lock()
"""While transformers loads a model it changes torch for the whole process: another thread would lose tied weights."""


@contextmanager
def making_model(checkpoint: Checkpoint) -> Iterator[None]:
    """Around whatever has transformers make a model: what is raised becomes one line."""
    what, remedy = "its weights cannot be loaded as a causal language model", "fetch or save it again, whole"
    with explain(checkpoint, what, remedy=remedy), _LOADING:
        yield


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
