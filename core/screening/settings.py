"""Settings of a model that a library would obey: config.json, generation and tokenizer settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.screening.base import REPAIR, entries, name_of, text_of
from core.screening.code import refuse_model_code, refuse_tokenizer_code
from core.screening.numbers import refuse_senseless
from core.screening.patterns import fault
from core.weights import INDEX, SINGLE

KIND = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
_EXPERTS = {"eager", "batched_mm", "grouped_mm"}
_WAYS = {
    "attn_implementation": _ATTENTION,
    "_attn_implementation": _ATTENTION,
    "_attn_implementation_internal": _ATTENTION,
    "experts_implementation": _EXPERTS,
    "_experts_implementation": _EXPERTS,
    "_experts_implementation_internal": _EXPERTS,
}
"""What may be chosen without asking the Hub for code; other names are those of a repository."""
_SWITCHES = ("trust_remote_code", "custom_generate", "use_kernels", "kernel_config")
_IGNORED = ("special_tokens_map_file", "tokenizer_config_file")
"""Left in many published files by their makers' computers; the library never opens them."""
_QUANTISED = ("quantization_config", "compression_config")
_FORMAT = re.compile(r"auto|(torch\.)?(b?float|u?int|complex|bool)\w{0,20}")


def check_config(path: Path, raw: dict[str, Any]) -> None:
    """Refuse a config.json, read from `path`, that asks for code, files or senseless sizes.

    Raises ModelError.
    """
    kind = raw.get("model_type")
    if not isinstance(kind, str):
        raise _no_kind(path, kind)
    refuse_model_code(path, raw, kind)
    _refuse_other_weights(path, raw)
    check_values(path, raw)
    for name in _QUANTISED:
        _refuse_slow_patterns(path, raw.get(name))


def check_tokenizer_config(path: Path, raw: dict[str, Any]) -> None:
    """Refuse a tokenizer_config.json that asks for code or for files elsewhere. ModelError."""
    refuse_tokenizer_code(path, raw)
    for name, value in raw.items():
        if not name.endswith(("_file", "_files")) or name in _IGNORED:
            continue
        if not _harmless(path.parent, value):
            raise ModelError(
                f"{path}: {name_of(name)} points at another file: {text_of(value)}.",
                hint=f"Remove this line from {path.name}; the files beside it are found anyway.",
            )
    check_switches(path, raw)


def check_values(path: Path, raw: dict[str, Any]) -> None:
    """What holds for every level of every file of settings."""
    check_switches(path, raw)
    for name, value in entries(raw, path):
        if name == "model_type" and value is not None:
            if not isinstance(value, str) or not KIND.fullmatch(value):
                raise _no_kind(path, value)
        elif name in ("dtype", "torch_dtype") and isinstance(value, str):
            if not _FORMAT.fullmatch(value):
                raise ModelError(f"{path}: {name} is {text_of(value)}.", hint=REPAIR)
        else:
            refuse_senseless(path, name, value)


def check_switches(path: Path, raw: dict[str, Any]) -> None:
    """Keys that a library takes for its caller's consent, or for the name of code to fetch."""
    for name, value in entries(raw, path):
        if name in _WAYS and not _known(value, _WAYS[name]):
            raise ModelError(
                f"{path}: {name} names code to download: {text_of(value)}.",
                hint=f"Remove the line {name} from {path.name}.",
            )
        if name in _SWITCHES and value:
            raise ModelError(
                f"{path}: {name} would let a stranger's code run. Tunesmith has no setting that "
                "allows it.",
                hint=f"Remove the line {name} from {path.name}, or choose another model.",
            )


def _known(value: object, allowed: set[str]) -> bool:
    """One way, or one for each part of a model that sees and reads."""
    ways = list(value.values()) if isinstance(value, dict) else [value]
    return all(way is None or (isinstance(way, str) and way in allowed) for way in ways)


def _harmless(folder: Path, value: object) -> bool:
    """Nothing, or the plain name of a file beside it."""
    if value is None or value is False or value == "":
        return True
    plain = isinstance(value, str) and re.fullmatch(r"[\w-][\w.-]{0,100}", value)
    return bool(plain) and (folder / str(value)).is_file()


def _refuse_other_weights(path: Path, raw: dict[str, Any]) -> None:
    """The library would load another file than the ones that were looked at."""
    named = raw.get("transformers_weights")
    if named is not None and named not in (SINGLE, INDEX):
        raise ModelError(
            f"{path}: transformers_weights asks for another file of weights: {text_of(named)}.",
            hint=f"Rename that file to {SINGLE} and remove the line transformers_weights.",
        )


def _refuse_slow_patterns(path: Path, found: object) -> None:
    """Names of layers that are not quantised are matched as regular expressions."""
    for name, value in entries(found, path):
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, str) and (reason := fault(each, backtracks=True)):
                raise ModelError(
                    f"{path}: a pattern in {name_of(name)} {reason}: {text_of(each)}.", hint=REPAIR
                )


def _no_kind(path: Path, kind: object) -> ModelError:
    return ModelError(
        f"{path}: model_type is {text_of(kind)}, not the name of a model family.", hint=REPAIR
    )
