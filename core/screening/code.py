"""Models that need a program of their author's. Tunesmith runs none, and has no switch for it."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.screening.base import text_of

_KNOWN_MODELS = "Choose a model that needs none, for instance Qwen, Llama, Mistral or Gemma."
_NO_SWITCH = "Tunesmith never runs such code, and there is no setting that allows it"
_LARGEST = 10_000_000
"""Bytes of a program that are read to name it exactly."""


def refuse_model_code(path: Path, raw: dict[str, Any], kind: str) -> None:
    """Raise ModelError when a config.json cannot be understood without its author's code.

    Where the library knows the family, its own class is used and the code is left alone.
    """
    if raw.get("auto_map") and not built_in(kind):
        raise ModelError(
            f"{path}: this model ({kind}) needs Python code written by its author, which would run "
            f"with all your rights. {_NO_SWITCH}.{named(path.parent, raw['auto_map'])}",
            hint=_KNOWN_MODELS,
        )


def refuse_tokenizer_code(path: Path, raw: dict[str, Any]) -> None:
    """The same for tokenizer_config.json; with tokenizer.json there is nothing left to run."""
    if raw.get("auto_map") and not (path.parent / "tokenizer.json").is_file():
        raise ModelError(
            f"{path}: this tokenizer needs Python code written by its author, which would run with "
            f"all your rights. {_NO_SWITCH}.{named(path.parent, raw['auto_map'])}",
            hint=_KNOWN_MODELS,
        )


def named(folder: Path, auto_map: object) -> str:
    """The code that would run: each file with its SHA-256, so that others can be asked about it."""
    modules = sorted(set(_modules(auto_map)))[:3]
    told = [_file(folder, module) for module in modules]
    return f" The code: {', '.join(told)}." if told else ""


def _modules(auto_map: object) -> list[str]:
    """`modeling_x` of every `modeling_x.Class`, in whatever lists and objects they stand."""
    if isinstance(auto_map, str):
        return [auto_map.rpartition(".")[0] or auto_map]
    if isinstance(auto_map, dict):
        auto_map = list(auto_map.values())
    inner = auto_map if isinstance(auto_map, list) else []
    return [module for each in inner[:20] for module in _modules(each)]


def _file(folder: Path, module: str) -> str:
    path = folder / f"{module}.py"
    if not re.fullmatch(r"\w{1,100}", module):
        return f"{text_of(module)}, which lies elsewhere"
    if not path.is_file() or path.is_symlink():
        return f"{path.name}, which is not there"
    with path.open("rb") as file:
        found = hashlib.sha256(file.read(_LARGEST)).hexdigest()
    return f"{path.name} (SHA-256 {found})"


@functools.cache
def built_in(kind: str) -> bool:
    """Whether transformers brings this family itself; found without importing it.

    Without transformers nobody can tell here; the engine refuses foreign code in any case.
    """
    found = importlib.util.find_spec("transformers")
    if found is None or not found.submodule_search_locations:
        return True
    families = Path(found.submodule_search_locations[0]) / "models"
    return (families / kind.replace("-", "_").replace(".", "_")).is_dir()
