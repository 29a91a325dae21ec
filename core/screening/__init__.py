"""A stranger's folder, judged by the standard library before any other library opens a file.

Whatever passes can be given to transformers and PEFT: it holds no code they would run, names no
file elsewhere, and asks for nothing that takes all memory or all time.
"""

from __future__ import annotations

import functools
from pathlib import Path

from core.screening import adapter, settings, tokenizer
from core.screening.base import read_json
from core.screening.files import Stamp, check_files, stamp

_CHECKED = {
    "config.json": settings.check_config,
    "generation_config.json": settings.check_values,
    "preprocessor_config.json": settings.check_switches,
    "processor_config.json": settings.check_switches,
    "tokenizer_config.json": settings.check_tokenizer_config,
}


def screen(folder: Path) -> None:
    """Judge every file of a model's or adapter's folder that a library would open.

    A folder that has passed is judged again when a file in it has changed. Raises ModelError.
    """
    _screen(folder.absolute(), stamp(folder))


@functools.lru_cache(maxsize=32)
def _screen(folder: Path, seen: Stamp) -> None:  # noqa: ARG001 - the cache's key
    check_files(folder)
    for name, check in _CHECKED.items():
        path = folder / name
        if path.is_file():
            check(path, read_json(path))
    if (folder / "tokenizer.json").is_file():
        tokenizer.read_words(folder / "tokenizer.json")
    if (folder / adapter.SETTINGS).is_file():
        adapter.check_adapter(folder)
