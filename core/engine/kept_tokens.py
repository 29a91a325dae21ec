"""Encoded rows are kept between starts: the same rows are not encoded twice.

What is kept belongs to what is said in the rows, the template, the tokenizer's files and the
versions of the libraries; when any of it changes, rows are encoded anew. Plain numbers in numpy's
own files, whole or absent, verified by SHA-256 before use. May be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from core import __version__, durable
from core.dataset import Example
from core.engine.emit import versions
from core.engine.encode import Progress, Row, encode
from core.engine.signs import obeyed
from core.machine import disk_free
from core.places import tokens_home

MOST = 5_000_000_000
"""Bytes of all that is kept; what was not used for longest goes first."""
FORMAT = 2
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")


def encode_once(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    progress: Progress = lambda done, total: None,
) -> list[Row]:
    """Encoded rows, from what is kept when the very same rows were encoded before."""
    folder = Path(tokenizer.name_or_path)
    if not examples or not folder.is_dir():
        return encode(tokenizer, examples, progress)
    place = tokens_home() / _key(tokenizer, folder, examples)
    known = _recall(place, examples)
    if known is not None:
        progress(len(known), len(known))
        return known
    rows = encode(tokenizer, examples, progress)
    with contextlib.suppress(OSError):  # rows that cannot be kept are still rows
        _keep(place, rows)
    return rows


def _key(tokenizer: PreTrainedTokenizerBase, folder: Path, examples: Sequence[Example]) -> str:
    """Whatever changes a token changes the key."""
    found = hashlib.sha256()
    parts = [FORMAT, __version__, versions(), str(tokenizer.chat_template), _files(folder)]
    parts.append(obeyed(tokenizer))
    found.update(json.dumps(parts, sort_keys=True).encode())
    for example in examples:
        said = json.dumps(example.messages, sort_keys=True, default=str)
        found.update(f"\n{said}".encode())
    return found.hexdigest()


def _files(folder: Path) -> dict[str, str]:
    """Everything beside the weights that may take part in encoding."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {p.name: durable.digest(p) for p in files if p.suffix not in _WEIGHTS}


def _recall(place: Path, examples: Sequence[Example]) -> list[Row] | None:
    """Rows as they were kept; None when there are none or they are damaged."""
    if not place.is_dir() or durable.verify(place) is not None:
        return None
    try:
        ids, sizes, packed = (np.load(place / f"{name}.npy") for name in ("ids", "sizes", "packed"))
        os.utime(place)
    except (OSError, ValueError):
        return None
    if len(sizes) != len(examples) or sizes.sum() != len(ids):
        return None
    told = durable.read_manifest(place)
    rows = _rows(ids, np.unpackbits(packed, count=len(ids)).astype(bool), sizes, examples)
    return [_with_oddities(row, told, str(number)) for number, row in enumerate(rows)]


def _with_oddities(row: Row, told: dict[str, Any], number: str) -> Row:
    """Few rows have any."""
    signs, added = told.get("signs", {}).get(number), told.get("added", {}).get(number)
    return replace(row, signs=tuple(signs or ()), added=added or "") if signs or added else row


def _rows(
    ids: np.ndarray, trained: np.ndarray, sizes: np.ndarray, examples: Sequence[Example]
) -> Iterator[Row]:
    ends = np.cumsum(sizes)
    for example, start, end in zip(examples, ends - sizes, ends, strict=True):
        yield Row(
            example.line, ids[start:end].tolist(), trained[start:end].tolist(), example.source
        )


def _keep(place: Path, rows: Sequence[Row]) -> None:
    sizes = np.array([len(row.ids) for row in rows], dtype=np.int64)
    ids = np.fromiter((i for row in rows for i in row.ids), dtype=np.uint32, count=sizes.sum())
    marks = np.fromiter((on for row in rows for on in row.trained), dtype=bool, count=len(ids))
    place.parent.mkdir(parents=True, exist_ok=True)
    durable.sweep(place.parent)
    need = ids.nbytes + sizes.nbytes + len(marks) // 8
    if need > min(MOST, disk_free(place.parent) // 2):
        return
    with durable.staged(place) as aside:
        for name, values in (("ids", ids), ("sizes", sizes), ("packed", np.packbits(marks))):
            np.save(aside / f"{name}.npy", values, allow_pickle=False)
        signs = {number: row.signs for number, row in enumerate(rows) if row.signs}
        added = {number: row.added for number, row in enumerate(rows) if row.added}
        durable.seal(aside, signs=signs, added=added)
    make_room(place.parent, MOST)


def make_room(home: Path, most: int) -> None:
    """Let the entries go that were not used for longest, until the rest takes at most so much."""
    entries = sorted(
        (path for path in home.iterdir() if not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    total = 0
    for entry in entries:
        total += sum(file.stat().st_size for file in entry.iterdir())
        if total > most:
            durable.discard(entry)
