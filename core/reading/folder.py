"""A folder as one dataset: its files in the order of their names, all of one kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import DataError
from core.reading.llama_factory import NAME as DATASET_INFO
from core.reading.packed import kind_of

MOST = 10_000
"""Files of one dataset; more are something else."""
PROSE = (".txt", ".md", ".markdown")
_BESIDE = {DATASET_INFO, "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What the library `datasets` and LLaMA-Factory put beside the rows."""
_HELD_OUT = re.compile(r"(?:^|[^a-z])(?:test|eval|valid|validation|dev|heldout)(?:[^a-z]|$)", re.I)
_TRAIN = re.compile(r"(?:^|[^a-z])train(?:ing)?(?:[^a-z]|$)", re.I)


def files_of(folder: Path, kinds: Sequence[str]) -> list[Path]:
    """The files that make up the dataset. Raises DataError when that is not clear."""
    found = sorted(_candidates(folder, kinds))
    rows = [path for path in found if kind_of(path) not in PROSE]
    chosen = rows or found
    if not chosen:
        raise DataError(
            f"{folder} is a folder without a file of rows.",
            hint=f"Supported are {', '.join(kinds)}, also packed as .gz or .zst.",
        )
    _refuse_mixture(folder, chosen)
    return chosen


def _candidates(folder: Path, kinds: Sequence[str]) -> Iterator[Path]:
    """Files of a known kind, links and hidden ones left aside."""
    seen = 0
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if path.is_symlink() or any(part.startswith(".") for part in inner.parts):
            continue
        if path.is_file() and kind_of(path) in kinds and path.name not in _BESIDE:
            seen += 1
            if seen > MOST:
                raise DataError(
                    f"{folder} holds more than {MOST:,} files.", hint="Choose a smaller folder."
                )
            yield path


def _refuse_mixture(folder: Path, chosen: Sequence[Path]) -> None:
    """Rows to learn from and rows to measure on must never end up in one dataset."""
    kinds = {".md" if kind_of(path) in PROSE else kind_of(path) for path in chosen}
    names = [path.relative_to(folder).as_posix() for path in chosen]
    held_out = [name for name in names if _HELD_OUT.search(name)]
    if len(kinds) > 1:
        what = f"files of several kinds ({', '.join(sorted(kinds))})"
    elif held_out and any(_TRAIN.search(name) for name in names):
        what = "files to learn from and files to measure on"
    else:
        return
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise DataError(f"{folder} holds {what}.", hint=f"Choose a file in it: {listed}.")
