"""What a disk says when it does not take what is written, in words a user can act on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import CoreError, DiskError
from core.machine import disk_free
from core.numbers import show_bytes

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
FAILING = (
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN,
    errno.ENOTCONN, errno.EFBIG,
)  # fmt: skip
_NUMBERED = re.compile(r"os error (\d+)")
"""How the Rust of safetensors and tokenizers tells an error of the system."""
_UNNUMBERED = ("PytorchStreamWriter", "unexpected pos", "iostream error", "strerror")
"""How torch.save tells that a file could not be written, and not always why."""


def disk_error(error: BaseException, place: Path, need: int = 0) -> DiskError | None:
    """A library's or system's error as one of the disk; None when it is about something else.

    `place` is the folder that is written to, `need` the bytes that were to be written there.
    """
    if isinstance(error, CoreError):
        return error if isinstance(error, DiskError) else None
    if not place.is_dir():
        return gone(place)
    number = _number(error, place, need)
    return _told(number, _file(error, place), place, need) if number else None


def lack_of_room(place: Path, need: int) -> DiskError | None:
    """The error that writing so many bytes would end in, before anything is written."""
    if not place.is_dir():
        return gone(place)
    return _full(str(place), place, need) if disk_free(place) < need else None


@contextmanager
def in_words(place: Path, need: int) -> Iterator[None]:
    """Write so many bytes into a folder, or raise DiskError, at once where room is short."""
    if short := lack_of_room(place, need):
        raise short
    try:
        yield
    except Exception as error:
        found = disk_error(error, place, need)
        if found is None:
            raise
        raise found from error


def gone(place: Path) -> DiskError:
    """A folder that was there and is no longer."""
    return DiskError(
        f"The folder {place} is gone.", hint="Bring its disk or the folder back to the same place."
    )


def _number(error: BaseException, place: Path, need: int) -> int | None:
    """The system's number of an error, as far as it is one of the disk."""
    number = error.errno if isinstance(error, OSError) else _numbered(error)
    if number is None and any(words in str(error) for words in _UNNUMBERED):
        known = (one for one in (*FULL, *CLOSED) if os.strerror(one) in str(error))
        number = next(known, errno.ENOSPC if disk_free(place) <= need else errno.EIO)
    return number if number in (*FULL, *CLOSED, *FAILING) else None


def _numbered(error: BaseException) -> int | None:
    found = _NUMBERED.search(str(error))
    return int(found[1]) if found else None


def _file(error: BaseException, place: Path) -> str:
    """The file at fault, as far as anybody said which."""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return str(named or place)


def _told(number: int, file: str, place: Path, need: int) -> DiskError:
    reason = errno.errorcode.get(number, str(number))
    if number in FULL:
        return _full(file, place, need)
    if number == errno.EFBIG:
        return DiskError(
            f"{file} cannot be written: this disk takes no file so large.",
            hint="FAT32 ends at 4 GB, and so may a limit of the account; choose another folder.",
        )
    if number in CLOSED:
        return DiskError(
            f"{file} may not be written ({reason}). {_room(place, need)}",
            hint="The folder or its disk is read-only; make it writable again.",
        )
    return DiskError(
        f"The disk fails to write {file} ({reason}). {_room(place, need)}",
        hint="Look whether it is still connected and sound.",
    )


def _full(file: str, place: Path, need: int) -> DiskError:
    return DiskError(
        f"The disk is full: {file} cannot be written. {_room(place, need)}",
        hint="Make room on that disk, or choose another folder.",
    )


def _room(place: Path, need: int) -> str:
    free = f"{show_bytes(disk_free(place))} are free."
    return f"{show_bytes(need)} are needed, {free}" if need else free[0].upper() + free[1:]
