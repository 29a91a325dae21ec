"""adapter_config.json: what an adapter says of itself, before PEFT obeys it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.screening.base import REPAIR, entries, name_of, read_json, text_of
from core.screening.numbers import LIMITS
from core.screening.patterns import FEW, fault, matching, repetitions
from core.screening.settings import check_switches
from core.weights import read_header

SETTINGS = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PICKLED = "adapter_model.bin"
_KIND = re.compile(r"[A-Z0-9_]{1,40}")
_PLAIN = re.compile(r"[\w.-]{1,200}")
_RANKS = {"r", "init_r", "target_r", "rank", "oft_block_size", "lora_alpha"}
LARGEST_RANK = 65_536
_SEEDS = re.compile(r"seed|prng|key")
LARGEST = 10_000_000
"""Of a number that is neither a rank nor a seed."""
_CODE = {"megatron_core": "megatron.core"}
"""Modules that PEFT imports by name, and what it writes there by itself."""
TARGETS = ("target_modules", "exclude_modules", "feedforward_modules")
"""May be one regular expression; the engine turns it into names before PEFT sees it."""
_MATCHED = ("layers_pattern", "modules_to_save", "target_parameters", "rank_pattern",
            "alpha_pattern")  # fmt: skip


def check_adapter(folder: Path) -> None:
    """Refuse an adapter that asks for code, for other files or for endless work. ModelError."""
    path = folder / SETTINGS
    raw = read_json(path)
    kind = raw.get("peft_type")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ModelError(f"{path}: peft_type is {text_of(kind)}, no kind of adapter.", hint=REPAIR)
    check_switches(path, raw)
    _refuse_code(path, raw)
    _refuse_sizes(path, raw)
    _refuse_endless(path, raw)
    _refuse_pickle(folder)
    if (folder / WEIGHTS).is_file():
        read_header(folder / WEIGHTS)
        _refuse_slow_targets(folder, raw)


def base_of(folder: Path) -> str:
    """The model an adapter says it was made for, to be told and never followed; may be empty."""
    found = read_json(folder / SETTINGS).get("base_model_name_or_path")
    return found if isinstance(found, str) and found.isprintable() and len(found) < 200 else ""


def is_pattern(targets: str) -> bool:
    """Whether PEFT would take this for a regular expression."""
    return not _PLAIN.fullmatch(targets)


def targets_in(folder: Path) -> set[str]:
    """Names of the layers an adapter file has something for, as they are called in the model."""
    names = (name.removeprefix("base_model.model.") for name in read_header(folder / WEIGHTS))
    return {name.partition(".lora_")[0] for name in names}


def _refuse_code(path: Path, raw: dict[str, Any]) -> None:
    for name, usual in _CODE.items():
        if raw.get(name) not in (None, usual):
            raise _names_code(path, name, raw[name])
    mapping = raw.get("auto_mapping")
    if mapping is not None and not _of_transformers(mapping):
        raise _names_code(path, "auto_mapping", mapping)
    if raw.get("tokenizer_kwargs"):
        raise _names_code(path, "tokenizer_kwargs", raw["tokenizer_kwargs"])
    if raw.get("custom_modules") or raw.get("_custom_modules"):
        raise _names_code(path, "custom_modules", "...")


def _of_transformers(mapping: object) -> bool:
    """PEFT writes down the base's class where it knows no task; read only by what is not used."""
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    return isinstance(library, str) and bool(
        re.fullmatch(r"(transformers|torch|core)(\.\w{1,60}){0,6}|__main__", library)
    )


def _names_code(path: Path, name: str, value: object) -> ModelError:
    return ModelError(
        f"{path}: {name} names code to import: {text_of(value)}.",
        hint=f"Remove the line {name} from {path.name}, or choose another adapter.",
    )


def _refuse_sizes(path: Path, raw: dict[str, Any]) -> None:
    for name, value in entries(raw, path):
        if type(value) not in (int, float) or _SEEDS.search(name):
            continue
        limit = LARGEST_RANK if name in _RANKS else LARGEST
        if not abs(value) <= limit or (name in _RANKS and value < 0):  # also what is no number
            raise ModelError(
                f"{path}: {name_of(name)} is {text_of(value, 40)}, expected is at most {limit:,}.",
                hint=REPAIR,
            )
    copies = raw.get("layer_replication")
    if copies is not None and _layers(copies) > LIMITS["layers"]:
        raise ModelError(
            f"{path}: layer_replication asks for more than {LIMITS['layers']:,} layers.",
            hint=REPAIR,
        )


def _layers(copies: object) -> int:
    """Layers that ranges of [first, end) make together; too many for what is no list of those."""
    ranges = copies if isinstance(copies, list) else [[]]
    try:
        return sum(abs(int(end) - int(first)) for first, end in ranges)
    except (TypeError, ValueError):
        return LIMITS["layers"] + 1


def _refuse_endless(path: Path, raw: dict[str, Any]) -> None:
    """Patterns are matched with the name of every layer, by an engine that never gives up."""
    for name in (*TARGETS, *_MATCHED):
        for each in _texts(raw.get(name)):
            if _PLAIN.fullmatch(each):
                continue
            reason = fault(each, backtracks=True)
            if not reason and name in _MATCHED and repetitions(each) > FEW:
                reason = "repeats too many parts"
            if reason:
                raise _slow(path, name, each, reason)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return (
        [each for each in value if isinstance(each, str)] if isinstance(value, list | dict) else []
    )


def _slow(path: Path, name: str, pattern: str, reason: str) -> ModelError:
    return ModelError(
        f"{path}: the regular expression in {name} {reason}: {text_of(pattern, 80)}.",
        hint="Write the names of the layers instead, such as q_proj and v_proj.",
    )


def _refuse_slow_targets(folder: Path, raw: dict[str, Any]) -> None:
    """A pattern may be clever without being endless; it is tried on the names it is made for."""
    for name in TARGETS:
        pattern = raw.get(name)
        if isinstance(pattern, str) and is_pattern(pattern):
            try:
                matching(pattern, sorted(targets_in(folder)))
            except ValueError as error:
                raise _slow(folder / SETTINGS, name, pattern, str(error)) from error


def _refuse_pickle(folder: Path) -> None:
    if (folder / WEIGHTS).is_file():
        return
    if (folder / _PICKLED).is_file():
        raise ModelError(
            f"{folder} has its weights only in {_PICKLED}, a pickle: opening it can run a "
            "stranger's program.",
            hint=f"Convert it: `tunesmith models convert {folder} -o NEW_FOLDER`.",
        )
    raise ModelError(
        f"{folder} has no weights: {WEIGHTS} is not there.",
        hint="The adapter is incomplete. Download it again.",
    )
