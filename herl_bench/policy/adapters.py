"""Low-rank adapters (LoRA) on a policy, by peft: the one room that knows it, and loads it late.

Adapters are injected into the model of transformers, which stays what it is: it writes, scores and is asked for its
config as before. It may carry two, of which one is read at a time (`use`): the policy's, and one for the value critic.
With none it is the model that training started from. An adapter's folder has peft's two files, which transformers loads
too, and `base.json`: what it was trained on, by place and by hash.

Left out: other kinds than LoRA; adapters on embeddings and on the head.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from herl_bench.errors import UsageError
from herl_bench.saving import write_whole

POLICY, VALUE = "default", "value"
"""Names of adapters. The first is what peft calls the only one."""

CONFIG, BASE = "adapter_config.json", "base.json"


@dataclass(frozen=True)
class Base:
    """What an adapter was trained on. sha256: of it (`_digest_base`); empty for an adapter of others."""

    model: str
    revision: str | None = None
    sha256: str = ""


def require_peft(what: str) -> None:
    """Raises `UsageError` where peft is missing. what: needs it."""
    if find_spec("peft") is None:
        raise UsageError(f"{what} needs peft: pip install 'herl-bench[lora]'")


def make_lora(rank: int, alpha: float) -> Any:
    """peft's configuration: all linear layers but the head, no dropout. Raises `UsageError` without peft."""
    require_peft(f"lora_rank={rank}")
    from peft import LoraConfig

    scaled: Any = alpha  # whose type is int there, though it need not be
    return LoraConfig(r=rank, lora_alpha=scaled, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def add_adapter(model: Any, name: str, rank: int, alpha: float, seed: int) -> None:
    """A new adapter in float32, which changes nothing yet; the weights under it are frozen. The first one is in use."""
    had_one = has_adapters(model)
    _inject(model, name, make_lora(rank, alpha), seed)
    _switch(_list_layers(model), POLICY if had_one else name)


def _inject(model: Any, name: str, lora: Any, seed: int = 0) -> None:
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`|The following .* keys did not match")
        torch.manual_seed(seed)
        try:
            model.add_adapter(lora, name)
        except ValueError as error:  # of architectures that peft has no layers for
            what = f"peft cannot adapt a {type(model).__name__}: {str(error).partition('. ')[0]}"
            raise UsageError(f"{what}: train its weights (lora_rank=0)") from None
    for weight in list_weights(model, name).values():
        weight.data = weight.data.float()


def has_adapters(model: Any) -> bool:
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def list_weights(model: Any, name: str = POLICY) -> dict[str, nn.Parameter]:
    """The weights of one adapter, by the names of the layers that they change."""
    found = {}
    for path, weight in model.named_parameters():
        layer, _, rest = path.partition(".lora_")  # …q_proj.lora_A.default.weight
        kind, _, owner = rest.removesuffix(".weight").partition(".")
        if owner == name:
            found[f"{layer}.lora_{kind}.weight"] = weight
    return found


def mark_adapted(model: Any) -> None:
    """Tell transformers that peft's own wrapper put an adapter into this model."""
    model._hf_peft_config_loaded = True


def collect_trained(model: Any) -> dict[str, torch.Tensor]:
    """What a checkpoint needs of a policy: its adapter's weights, or all where it has none."""
    return dict(list_weights(model)) if has_adapters(model) else model.state_dict()


@torch.no_grad()
def restore_trained(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    if not has_adapters(model):
        model.load_state_dict(weights)
        return
    for name, weight in list_weights(model).items():
        weight.copy_(weights[name])


@contextmanager
def use(model: Any, name: str | None) -> Iterator[None]:
    """Read the model with this adapter, or with none, and then as before; a model without adapters as it is.

    With gradient checkpointing the backward pass belongs inside too: it reads the layers once more.
    """
    layers = _list_layers(model) if has_adapters(model) else []
    before = None if not layers or layers[0].disable_adapters else layers[0].active_adapters[0]
    if before == name:
        layers = []
    _switch(layers, name)
    try:
        yield
    finally:
        _switch(layers, before)


def _list_layers(model: Any) -> list[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _switch(layers: list[Any], name: str | None) -> None:
    for layer in layers:
        if name is not None:
            layer.set_adapter(name)
        layer.enable_adapters(name is not None)
        # peft freezes what is not in use, and what is frozen when the backward pass comes by gets no gradient.
        for each in layer.adapter_layer_names:
            getattr(layer, each).requires_grad_(True)


# -------------------------------------------------------------------------------------------------------------- folders
def save_adapter(model: Any, base: str, folder: Path) -> None:
    """peft's files and `base.json`. base: where the model under the adapter was loaded from."""
    with warnings.catch_warnings():  # peft looks in the base's place whether its vocabulary grew; a GGUF file has none
        warnings.filterwarnings("ignore", "Could not find a config file")
        model.save_pretrained(folder)
    record = Base(base, getattr(model.config, "_commit_hash", None), _digest_base(model, Path(base)))
    write_whole(folder / BASE, json.dumps(asdict(record), indent=1) + "\n")


def find_base(folder: Path) -> Base | None:
    """What the adapter in this folder was trained on; None where there is none. Raises `UsageError`."""
    if not (folder / CONFIG).is_file() or (folder / "config.json").is_file():
        return None
    name = BASE if (folder / BASE).is_file() else CONFIG
    try:
        written = json.loads((folder / name).read_bytes())
        return Base(**written) if name == BASE else Base(written["base_model_name_or_path"], written.get("revision"))
    except (OSError, ValueError, TypeError, KeyError):
        raise UsageError(f"model {folder}: {name} cannot be read: restore the folder") from None


def check_base(model: Any, folder: str, base: Base) -> None:
    """Raises `UsageError` where the base of the adapter in `folder` is not what it was."""
    if base.sha256 and _digest_base(model, Path(base.model)) != base.sha256:
        why = f"its base {base.model} has other weights (by sha256) than the one that it was trained on"
        raise UsageError(f"model {folder}: {why}: put that one back")


def _digest_base(model: Any, place: Path) -> str:
    """Of the weights under an adapter; where another one was merged into them, of its files: merged on another machine
    the weights are rounded otherwise."""
    if find_base(place) is None:
        return digest_weights(model)
    files = (place / name for name in (CONFIG, "adapter_model.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def load_adapter(model: Any, folder: str) -> None:
    """Put the adapter on its base, in float32; transformers' own loader rounds it to the base's precision."""
    from peft import LoraConfig
    from safetensors.torch import load_file

    _inject(model, POLICY, LoraConfig.from_pretrained(folder))
    saved = load_file(Path(folder) / "adapter_model.safetensors")
    restore_trained(model, {name.removeprefix("base_model.model."): weight for name, weight in saved.items()})


def merge(model: Any) -> Any:
    """The same model with the policy's adapter added to its weights and no adapter any more."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    # From within: peft wraps a layer of experts once for each of its weights.
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, BaseTunerLayer):
            module.merge(adapter_names=[POLICY])  # type: ignore[call-arg]
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.get_base_layer())
    model._hf_peft_config_loaded = False  # transformers' own mark
    del model.peft_config
    return model.requires_grad_(True)


def round_weights(model: Any, dtype: torch.dtype) -> None:
    """Weights alone, those of adapters left out: what else is computed with, such as angles, is float32 on loading."""
    for name, weight in model.named_parameters():
        if ".lora_" not in name:
            weight.data = weight.data.to(dtype)


def digest_weights(model: Any) -> str:
    """sha256 over a model's weights without its adapters, rounded to bfloat16: the same in both precisions."""
    digest = hashlib.sha256()
    weights = {name.replace(".base_layer", ""): w for name, w in model.named_parameters() if ".lora_" not in name}
    for name in sorted(weights):
        weight = weights[name].detach().to("cpu", torch.bfloat16).contiguous()
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(weight.view(torch.uint8).numpy().data)
    return digest.hexdigest()
