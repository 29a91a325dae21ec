"""Files packed by gzip or zstd, unpacked while they are read and never onto the disk."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from core.errors import DataError
from core.reading.base import damaged

FREE, MAX_RATIO = 50_000_000, 200
"""Bytes that any archive may unpack to, and beyond that how many times its own size; texts shrink
to a tenth, a bomb of zeros to a thousandth."""
WINDOW = 1 << 27
"""Bytes of history a zstd file may ask for: what `zstd --ultra` writes, and no more."""


class Packing(NamedTuple):
    """A way of packing: how such a file begins, what it is called, and how it is opened."""

    ending: str
    magic: bytes
    name: str
    open: Callable[[Path], BinaryIO]


def _gzip(path: Path) -> BinaryIO:
    return io.BufferedReader(gzip.GzipFile(path))


def _zstd(path: Path) -> BinaryIO:
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    return io.BufferedReader(
        reader.stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
    )


class _Bounded(io.RawIOBase):
    """What comes out of an archive, as long as that is in proportion to what went in."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._read = file, path, 0
        self._most = max(FREE, MAX_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Pass bytes on. Raises DataError when there are too many."""
        raw = self._file.read(len(buffer))
        buffer[: len(raw)] = raw
        self._read += len(raw)
        if self._read > self._most:
            raise DataError(
                f"{self._path} unpacks to more than {self._most:,} bytes, out of all proportion to "
                "its own size: it looks as if it was made to fill the memory or the disk.",
                hint="If you know who made it, unpack it and choose the file itself.",
            )
        return len(raw)


PACKINGS = (
    Packing(".gz", b"\x1f\x8b", "a gzip archive", _gzip),
    Packing(".zst", b"\x28\xb5\x2f\xfd", "a zstd archive", _zstd),
)


def packing_of(path: Path) -> Packing | None:
    """How a file is packed, by what it holds and not by its name. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((p for p in PACKINGS if start.startswith(p.magic)), None)


def kind_of(path: Path) -> str:
    """The ending that says what is in a file, in small letters: `.jsonl` of `rows.jsonl.gz`."""
    inner = path.with_suffix("") if path.suffix.lower() in _ENDINGS else path
    return inner.suffix.lower()


_ENDINGS = {packing.ending for packing in PACKINGS}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked. Raises OSError, and DataError for a broken archive."""
    packing = packing_of(path)
    if packing is None:
        with path.open("rb") as plain:
            yield plain
        return
    faults = _faults()
    try:
        with packing.open(path) as packed, io.BufferedReader(_Bounded(packed, path)) as bounded:
            yield bounded
    except faults as error:
        raise damaged(path, packing.name, error) from error


def _faults() -> tuple[type[Exception], ...]:
    """What the libraries say of broken archives; zstd is asked only when it is there anyway."""
    import zstandard

    return (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError)
