"""Rows that share a run of words with a benchmark."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.doctor.base import Ask, Check, Seen
from core.doctor.rolling import windows
from core.errors import DataError
from core.findings import Survey
from core.hub_spec import located
from core.reading import BadLine, read_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST = 8
"""Words of a shorter text, which must then be the same as a whole."""
_WORDS = re.compile(r"\w+")
_BATCH = 500


class Contamination(Check):
    """The rule of the GPT-3 paper (Brown et al. 2020, appendix C): 13 words in a row in common.

    Texts are compared in small letters and without punctuation. A text of fewer words, but at least
    eight, must be in the row as a whole message; still shorter ones say nothing.
    """

    code = "contamination"
    title = "Passages of a benchmark"
    what = "hold a passage of the benchmark"
    why = (
        "A model that has learned the benchmark scores on it by memory. Compared are runs of words "
        "in small letters without punctuation (GPT-3 paper, appendix C)."
    )
    fix = "Leaves them out."
    drops = True

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._whole: set[int] = set()
        self._rows: list[tuple[int, list[int]]] = []
        self._runs: NDArray[np.uint64] | None = self._index() if ask.benchmarks else None

    def _index(self) -> NDArray[np.uint64]:
        """All runs of the benchmarks, sorted."""
        import numpy as np

        parts: list[NDArray[np.uint64]] = []
        waiting: list[list[int]] = []
        for text in (text for path in self.ask.benchmarks for text in _texts(str(path))):
            words = _hashed(text)
            if len(words) >= self.ask.ngram:
                waiting.append(words)
            elif len(words) >= SHORTEST:
                self._whole.add(hash(tuple(words)))
            if len(waiting) >= _BATCH:
                parts.append(_runs(waiting, self.ask.ngram)[0])
                waiting = []
        parts.append(_runs(waiting, self.ask.ngram)[0])
        return np.unique(np.concatenate(parts))

    def look(self, seen: Seen) -> None:
        """Compare now what is short, later what is long."""
        if self._runs is None:
            return
        messages = [_hashed(message["content"]) for message in seen.messages]
        if any(hash(tuple(words)) in self._whole for words in messages):
            self.note(seen.line)
            return
        self._rows += [(seen.line, w) for w in messages if len(w) >= self.ask.ngram]
        if len(self._rows) >= _BATCH:
            self._compare()

    def _compare(self) -> None:
        import numpy as np

        if not self._rows or self._runs is None:
            return
        runs, starts = _runs([words for _, words in self._rows], self.ask.ngram)
        hits = np.flatnonzero(np.isin(runs, self._runs))
        rows = np.unique(np.searchsorted(starts[1:], hits.astype(np.uint64), side="right"))
        for place in rows.tolist():
            self.note(self._rows[place][0])
        self._rows = []

    def conclude(self, survey: Survey) -> None:
        """Compare what is left; a row with two such messages counts once."""
        self._compare()
        self.lines = array("q", sorted(set(self.lines)))


def _texts(path: str) -> Iterator[str]:
    """Every text of every row: a benchmark may be built in any way."""
    for line in read_rows(located(path)):
        if isinstance(line, BadLine):
            raise DataError(f"{path}: {line}.", hint="Repair or remove this line.")
        yield from _strings(line.row)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _hashed(text: str) -> list[int]:
    return [hash(word) & 0xFFFF_FFFF_FFFF_FFFF for word in _WORDS.findall(text.lower())]


def _runs(texts: Sequence[list[int]], size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    import numpy as np

    values = np.array([word for words in texts for word in words], np.uint64)
    return windows(values, [len(words) for words in texts], size)
