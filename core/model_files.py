"""The small files of a model folder, read with suspicion: everything here came from a stranger."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.value import Value
from core.weights import INDEX, SINGLE

MAX_CONFIG = 10_000_000
MAX_TOKENIZER = 200_000_000
_LIMITS = {
    "hidden": 65_536, "layers": 1_000, "heads": 4_096, "kv_heads": 4_096, "head_dim": 65_536,
    "intermediate": 1_000_000, "vocab": 4_000_000, "context": 100_000_000,
    "experts": 4_096, "experts_used": 4_096, "expert_width": 1_000_000,
}  # fmt: skip
_SPELLINGS = {
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "experts_used": ("num_experts_per_tok",),
    "expert_width": ("moe_intermediate_size",),
}
_ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
_CONVERT = (
    "Look on the model's page for a version in safetensors, or convert it once on a computer where "
    "you trust it: load it with transformers and call save_pretrained()."
)


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
    if (folder / "adapter_config.json").is_file():
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
        hint="Fine-tune the original model in safetensors; its result can be exported to GGUF.",
    )


def _refuse_adapter(folder: Path) -> None:
    base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    named = f" ({base})" if isinstance(base, str) and base.isprintable() and len(base) < 200 else ""
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
    unsafe = sorted(
        p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")
    )
    if unsafe:
        raise ModelError(
            f"{folder} has its weights only in {unsafe[0]}, a pickle: opening it can run a "
            "stranger's program.",
            hint=_CONVERT,
        )
    raise ModelError(
        f"{folder} has no weights: neither {SINGLE} nor {INDEX} is there.",
        hint="The download is incomplete. Download the model again.",
    )


def read_json(path: Path, limit: int = MAX_CONFIG) -> dict[str, Any]:
    """A JSON object from a model folder. Raises ModelError with file, line and column."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise ValueError(f"larger than {limit // 1_000_000} MB")
        if not raw.strip():
            raise ValueError("the file is empty")
        found = json.loads(raw.decode("utf-8-sig"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise ModelError(f"{place}: not valid JSON: {error.msg}.", hint=_REPAIR) from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {error}.", hint=_REPAIR) from error
    return found


_REPAIR = "The file is damaged. Download the model again, or repair the file."


def read_config(folder: Path) -> Config:
    """config.json under one spelling; hostile or senseless values are refused."""
    path = folder / "config.json"
    return parse_config(path, read_json(path))


def parse_config(path: Path, raw: dict[str, Any]) -> Config:
    """The same for what was read from `path`, which is only named in what is refused."""
    _refuse_code(path, raw)
    text = _text_part(raw)
    merged = raw | text
    numbers = {name: _number(path, merged, name) for name in _SPELLINGS}
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


def _number(path: Path, config: dict[str, Any], name: str) -> int:
    for key in _SPELLINGS[name]:
        value = config.get(key)
        if value is None:
            continue
        if type(value) is not int or not 0 <= value <= _LIMITS[name]:
            raise ModelError(
                f"{path}: {key} is {value!r:.40}, expected is a whole number "
                f"up to {_LIMITS[name]:,}.",
                hint=_REPAIR,
            )
        return value
    return 0


def _refuse_code(path: Path, raw: dict[str, Any]) -> None:
    kind = raw.get("model_type")
    if not isinstance(kind, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", kind):
        raise ModelError(
            f"{path}: model_type is {kind!r:.40}, not the name of a model family.", hint=_REPAIR
        )
    if raw.get("auto_map") and not _is_built_in(kind):
        raise ModelError(
            f"{path}: this model ({kind}) needs Python code written by its author, which would run "
            "with all your rights.",
            hint="Choose a model that needs none, for instance Qwen, Llama, Mistral or Gemma.",
        )
    for key in ("attn_implementation", "_attn_implementation"):
        if isinstance(raw.get(key), str) and raw[key] not in _ATTENTION:
            raise ModelError(
                f"{path}: {key} names code to download: {raw[key]!r:.60}.",
                hint=f"Remove the line {key} from config.json.",
            )


@functools.cache
def _is_built_in(kind: str) -> bool:
    """Whether transformers brings this family itself; found without importing it.

    Without transformers nobody can tell here; the engine refuses foreign code in any case.
    """
    found = importlib.util.find_spec("transformers")
    if found is None or not found.submodule_search_locations:
        return True
    families = Path(found.submodule_search_locations[0]) / "models"
    return (families / kind.replace("-", "_").replace(".", "_")).is_dir()


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
        raise ModelError(f"{path}: {error}.", hint=_REPAIR) from error


def tokenizer_size(folder: Path) -> int:
    """One more than the highest token id; 0 when only a binary vocabulary is there.

    Raises ModelError without any tokenizer.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        status = path.stat()
        return _vocabulary(path, status.st_mtime_ns, status.st_size)[0] + 1
    if (folder / "tokenizer.model").is_file() or (folder / "vocab.json").is_file():
        return 0
    raise ModelError(
        f"{folder} has no tokenizer (tokenizer.json or tokenizer.model).",
        hint="Copy the tokenizer files of the same model into the folder, or download it again.",
    )


@functools.lru_cache(maxsize=8)
def _vocabulary(
    path: Path,
    modified: int,  # noqa: ARG001 - the cache's key
    size: int,  # noqa: ARG001
) -> tuple[int, frozenset[str]]:
    """The highest token and those never split; parsing takes part of a second, so it is kept."""
    found = read_json(path, MAX_TOKENIZER)
    try:
        vocab = found.get("model", {}).get("vocab", {})
        ids = list(vocab.values()) if isinstance(vocab, dict) else [len(vocab) - 1]
        added = found.get("added_tokens") or ()
        ids += [token["id"] for token in added]
        highest = max((int(number) for number in ids), default=-1)
        return highest, frozenset(str(token.get("content", "")) for token in added)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a tokenizer ({error}).", hint=_REPAIR) from error


def whole_tokens(folder: Path, wanted: Collection[str]) -> tuple[str, ...] | None:
    """Those of the wanted tokens that the tokenizer never splits; None without tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    status = path.stat()
    _, added = _vocabulary(path, status.st_mtime_ns, status.st_size)
    return tuple(sorted(added.intersection(wanted)))


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
