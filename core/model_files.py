"""The small files of a model folder, read with suspicion: everything here came from a stranger."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.screening.adapter import SETTINGS, base_of
from core.screening.base import MAX_CONFIG, REPAIR, read_json
from core.screening.numbers import SPELLINGS, number
from core.screening.settings import check_config
from core.screening.tokenizer import read_words
from core.value import Value
from core.weights import INDEX, SINGLE

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_OTHERS = (
    ".h5", ".keras", ".msgpack", ".onnx", ".npz", ".npy", ".joblib", ".pkl", ".ot", ".tflite",
)  # fmt: skip


class Config(Value):
    """What config.json says, under one spelling."""

    architecture: str = ""
    kind: str = ""
    hidden: int = 0
    layers: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    intermediate: int = 0
    vocab: int = 0
    context: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    tied: bool = False
    attends: bool = True
    quantised: str = ""
    packed_bits: int = 0
    """Bits per number in a packed checkpoint; 0 when nothing is packed."""


def refuse_what_is_no_model(folder: Path) -> None:
    """Raise ModelError for everything that is not a folder with config.json and safetensors."""
    if not folder.exists():
        raise ModelError(
            f"There is no folder {folder}.",
            hint="Check the spelling, or choose the folder with the Browse button.",
        )
    if folder.is_file():
        _refuse_file(folder)
    if (folder / SETTINGS).is_file():
        _refuse_adapter(folder)
    if not (folder / "config.json").is_file():
        _refuse_bare(folder)
    if not (folder / SINGLE).is_file() and not (folder / INDEX).is_file():
        _refuse_weights(folder)


def _refuse_file(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"GGUF" or path.suffix.lower() == ".gguf":
        _refuse_gguf(path)
    raise ModelError(
        f"{path} is a file; a model is a folder with config.json and safetensors weights.",
        hint=f"Choose its folder: {path.parent}",
    )


def _refuse_gguf(path: Path) -> None:
    raise ModelError(
        f"{path} is a GGUF model, a format for running models that cannot be trained.",
        hint="Fine-tune the original model in safetensors; llama.cpp turns its result into GGUF.",
    )


def _refuse_adapter(folder: Path) -> None:
    base = base_of(folder)
    named = f" ({base})" if base else ""
    if (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} holds both a model and an adapter, so it is unclear what would be trained.",
            hint="Move adapter_config.json and its weights to a folder of their own.",
        )
    raise ModelError(
        f"{folder} is an adapter, not a whole model.",
        hint=f"Choose the base model it belongs to{named}, or merge the adapter into it first.",
    )


def _refuse_bare(folder: Path) -> None:
    if gguf := sorted(folder.glob("*.gguf")):
        _refuse_gguf(gguf[0])
    inner = sorted(path.parent for path in folder.glob("*/config.json"))
    hint = f"Did you mean {inner[0]}?" if inner else "Choose the folder that holds config.json."
    raise ModelError(f"{folder} has no config.json, so it is not a model folder.", hint=hint)


def _refuse_weights(folder: Path) -> None:
    """Tell which weights there are instead; none of those files is opened."""
    if unsafe := _ending(folder, _PICKLES):
        raise ModelError(
            f"{folder} has its weights only in {unsafe[0]}, a pickle: opening it can run a "
            "stranger's program.",
            hint="Look on the model's page for a version in safetensors, or convert it apart from "
            f"everything else: `tunesmith models convert {folder} -o NEW_FOLDER`.",
        )
    if other := _ending(folder, _OTHERS):
        raise ModelError(
            f"{folder} has its weights only in {other[0]}, which is for another program.",
            hint="Look on the model's page for a version in safetensors.",
        )
    raise ModelError(
        f"{folder} has no weights: neither {SINGLE} nor {INDEX} is there.",
        hint="The download is incomplete. Download the model again.",
    )


def _ending(folder: Path, endings: tuple[str, ...]) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in endings)


def read_config(folder: Path) -> Config:
    """config.json under one spelling; hostile or senseless values are refused."""
    path = folder / "config.json"
    return parse_config(path, read_json(path))


def parse_config(path: Path, raw: dict[str, Any]) -> Config:
    """The same for what was read from `path`, which is only named in what is refused."""
    check_config(path, raw)
    text = _text_part(raw)
    merged = raw | text
    numbers = {name: number(path, merged, name) for name in SPELLINGS}
    heads = numbers["heads"]
    numbers["kv_heads"] = numbers["kv_heads"] or heads
    numbers["head_dim"] = numbers["head_dim"] or numbers["hidden"] // max(1, heads)
    numbers["intermediate"] = numbers["intermediate"] or 4 * numbers["hidden"]
    if numbers["experts"]:
        numbers["experts_used"] = numbers["experts_used"] or 1
        numbers["expert_width"] = numbers["expert_width"] or numbers["intermediate"]
    quantised, bits = _quantisation(raw)
    return Config(
        architecture=_architecture(raw),
        kind=str(raw.get("model_type", "")),
        tied=bool(raw.get("tie_word_embeddings", text.get("tie_word_embeddings", _tied(merged)))),
        attends=_attends(merged),
        quantised=quantised,
        packed_bits=bits,
        **numbers,
    )


def _text_part(raw: dict[str, Any]) -> dict[str, Any]:
    """The language model's own settings inside those of a model that also sees or hears."""
    parts = (raw.get(key) for key in ("text_config", "llm_config"))
    return next((part for part in parts if isinstance(part, dict)), {})


_RECURRENT = ("attn_layer_", "conv_L_", "linear_num_", "lru_", "mamba_", "rwkv", "ssm_", "state_")
"""How settings of layers begin that carry something from token to token."""
_ATTENDING = ("full_attention", "sliding_attention")


def _attends(config: dict[str, Any]) -> bool:
    """Whether each layer is attention without a bound on its scores, sinks or chunks."""
    named = config.get("layer_types")
    layers = named if isinstance(named, list) else []
    return (
        all(layer in _ATTENDING for layer in layers)
        and not any(key.startswith(_RECURRENT) for key in config)
        and not config.get("attn_logit_softcapping")
        and config.get("model_type") != "gpt_oss"
    )


_TIED_KINDS = ("gemma", "gpt2", "t5", "cohere")


def _tied(config: dict[str, Any]) -> bool:
    """Families whose configuration class ties the output layer when the file is silent."""
    return str(config.get("model_type", "")).startswith(_TIED_KINDS)


def _architecture(raw: dict[str, Any]) -> str:
    named = raw.get("architectures")
    if isinstance(named, list) and named and isinstance(named[0], str):
        return named[0][:100]
    return str(raw.get("model_type", ""))[:100]


def _quantisation(raw: dict[str, Any]) -> tuple[str, int]:
    found = raw.get("quantization_config") or raw.get("compression_config")
    if not isinstance(found, dict):
        return "", 0
    method = str(found.get("quant_method") or "").lower()[:40]
    if method == "bitsandbytes" or any(k.startswith(("load_in_", "_load_in_")) for k in found):
        return "bitsandbytes", 4 if found.get("load_in_4bit") or found.get("_load_in_4bit") else 8
    bits = found.get("bits", 8 if "fp8" in method else 4)
    return method or "unknown", bits if isinstance(bits, int) and bits in (2, 3, 4, 8) else 4


def chat_template(folder: Path) -> str | None:
    """The chat template, looked for where transformers looks and in that order."""
    plain = folder / "chat_template.jinja"
    if plain.is_file():
        return _bounded_text(plain)
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file() and (template := _template_in(read_json(path).get("chat_template"))):
            return template
    return None


def _template_in(found: object) -> str | None:
    """A template, or the default one of several named ones."""
    if isinstance(found, str):
        return found or None
    if isinstance(found, list):
        named = {
            entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)
        }
        default = named.get("default")
        return default if isinstance(default, str) else None
    return None


def _bounded_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_CONFIG + 1)
    try:
        if len(raw) > MAX_CONFIG:
            raise ValueError(f"larger than {MAX_CONFIG // 1_000_000} MB")
        return raw.decode("utf-8-sig")
    except ValueError as error:
        raise ModelError(f"{path}: {error}.", hint=REPAIR) from error


def tokenizer_size(folder: Path) -> int:
    """One more than the highest token id; 0 when only a binary vocabulary is there.

    Raises ModelError without any tokenizer.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        return read_words(path).highest + 1
    if (folder / "tokenizer.model").is_file() or (folder / "vocab.json").is_file():
        return 0
    raise ModelError(
        f"{folder} has no tokenizer (tokenizer.json or tokenizer.model).",
        hint="Copy the tokenizer files of the same model into the folder, or download it again.",
    )


def whole_tokens(folder: Path, wanted: Collection[str]) -> tuple[str, ...] | None:
    """Those of the wanted tokens that the tokenizer never splits; None without tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    return tuple(sorted(read_words(path).whole.intersection(wanted)))


def end_token(folder: Path) -> str:
    """The tokenizer's end-of-text token; empty when it names none."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        found = read_json(folder / name).get("eos_token") if (folder / name).is_file() else None
        text = found.get("content") if isinstance(found, dict) else found
        if isinstance(text, str) and text:
            return text
    return ""


_LICENCE = re.compile(r"^license(?:_name)?:[ \t]*['\"]?([\w.+ -]{1,60})", re.MULTILINE)


def licence(folder: Path) -> str:
    """The licence named in the front matter of the model's README; empty when it names none."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        text = file.read(64_000).decode("utf-8", errors="replace")
    if not text.startswith("---"):
        return ""
    match = _LICENCE.search(text.partition("---")[2].partition("\n---")[0])
    return match[1].strip() if match else ""
