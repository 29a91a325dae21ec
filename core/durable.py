"""Folders that are whole or absent, and small files that are old or new.

The order is the guarantee: files are written aside and fsynced, a manifest with their sizes and
SHA-256 sums is renamed in, the folder is fsynced, renamed to its final name, and the parent is
fsynced. A folder counts only when its manifest verifies; whatever a crash leaves is healed or
swept later. Where a folder is replaced, the old one keeps another name until the new one is
there for good.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from core import disk
from core.manifest import MANIFEST, digest, manifest_of, read_manifest, verify

__all__ = [
    "MANIFEST", "digest", "discard", "heal", "make_folder", "overwrite", "read_manifest", "seal",
    "settle", "staged", "sweep", "try_out", "verify", "write_atomically",
]  # fmt: skip
_STAGING, _TRASH, _OLD = ".staging-", ".trash-", ".tunesmith-old-"
_ASIDE = re.compile(r"\.staging-(\d+)-.+|\..+\.(\d+)\.tmp")
"""What a process writes before it counts, with the number of the process."""
UNSYNCABLE = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that know no fsync: some network drives, some in user space."""
FOLDER_PATIENCE = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 4.0)
FILE_PATIENCE = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds between attempts: on Windows, a file that a virus scanner or an indexer reads cannot be
renamed until it is done. Small files are also written by the window, which must not stand still."""


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """Give a folder to fill; it becomes `final` when the block ends without an error.

    The caller seals it (`seal`) before the block ends. A crash leaves only what `heal` mends. The
    parent must be there: one that is gone belongs to a disk that is gone.
    """
    heal(final)
    aside = final.parent / f"{_STAGING}{os.getpid()}-{final.name}"
    with suppress(FileNotFoundError):
        _remove(aside)
    disk.current.mkdir(aside)
    try:
        yield aside
        _publish(aside, final)
    finally:
        with suppress(OSError):  # the error that led here is the one to tell
            _remove(aside)


def seal(folder: Path, **facts: Any) -> int:
    """Make every file durable and write the manifest; returns the bytes sealed."""
    sizes: dict[str, tuple[int, str]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        settle(path)
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size, digest(path)
    for inner in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
        settle(inner)
    write_atomically(folder / MANIFEST, manifest_of(sizes, facts))
    return sum(size for size, _ in sizes.values())


def discard(folder: Path) -> None:
    """Delete a folder so that no crash leaves half of it under its own name."""
    trash = folder.parent / f"{_TRASH}{folder.name}"
    with suppress(FileNotFoundError):
        _remove(trash)
    _rename(folder, trash, FOLDER_PATIENCE)
    settle(folder.parent)
    _remove(trash)


def heal(final: Path) -> None:
    """Undo what a crash left of replacing a folder: whichever of the two is whole is kept."""
    old = final.parent / f"{_OLD}{final.name}"
    if not old.is_dir():
        return
    if not final.exists() or (verify(final) is not None and verify(old) is None):
        if final.exists():
            discard(final)
        _rename(old, final, FOLDER_PATIENCE)
        settle(final.parent)
    else:
        _remove(old)


def sweep(parent: Path, *, shared: bool = False) -> None:
    """Remove what crashes left behind in a folder of our own; what cannot be removed is left.

    In a `shared` folder another process may be writing: what a living one writes is left alone.
    """
    with suppress(OSError):
        for path in list(parent.iterdir()):
            with suppress(OSError):
                _sweep_one(path, shared=shared)


def _sweep_one(path: Path, *, shared: bool) -> None:
    writer = _ASIDE.fullmatch(path.name)
    at_work = writer and _living(writer) and (shared or path.is_file())
    if path.name.startswith(_OLD):
        heal(path.with_name(path.name.removeprefix(_OLD)))
    elif path.name.startswith(_TRASH) or (writer and not at_work):
        _remove(path)


def _living(writer: re.Match[str]) -> bool:
    number = int(writer[1] or writer[2])
    return number != os.getpid() and psutil.pid_exists(number)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that readers see the old or the new text, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk.current.create(aside) as file:
            disk.current.write(file, text.encode())
        settle(aside)
        _rename(aside, path, FILE_PATIENCE)
    except OSError:
        with suppress(OSError):
            disk.current.unlink(aside)
        raise
    settle(path.parent)


def overwrite(path: Path, text: str) -> None:
    """Write a small file where it lies, which needs no room on a full disk.

    A crash may leave a part. What the old text had more of becomes spaces.
    """
    with disk.current.reopen(path) as file:
        disk.current.write(file, text.encode().ljust(path.stat().st_size))


def make_folder(path: Path) -> None:
    """A folder and those above it, there for good."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):
            disk.current.mkdir(one)
        settle(one.parent)


def try_out(folder: Path) -> str:
    """Write, replace and remove a file; returns what this disk cannot promise, or nothing.

    Raises OSError when the folder cannot be written.
    """
    trial = folder / f".trial.{os.getpid()}.tmp"
    doubt = ""
    for text in ("old", "new"):
        write_atomically(trial, text)
    try:
        disk.current.sync(trial)
        disk.current.sync(folder)
    except OSError as error:
        if error.errno not in UNSYNCABLE:
            raise
        doubt = "This disk does not tell when data is safe: a power cut may cost what was saved."
    disk.current.unlink(trial)
    return doubt


def _publish(aside: Path, final: Path) -> None:
    old = final.parent / f"{_OLD}{final.name}"
    if final.exists():
        _rename(final, old, FOLDER_PATIENCE)
    try:
        _rename(aside, final, FOLDER_PATIENCE)
    except OSError:
        if old.exists():
            with suppress(OSError):  # else the next `heal` does it
                disk.current.rename(old, final)
        raise
    settle(final.parent)
    with suppress(OSError):
        _remove(old)


def _remove(folder: Path) -> None:
    """A file, or a folder with all it holds. Raises FileNotFoundError when there is none."""
    if folder.is_symlink() or not folder.is_dir():
        disk.current.unlink(folder)
        return
    for path in folder.iterdir():
        _remove(path)
    disk.current.rmdir(folder)


def _rename(old: Path, new: Path, patience: tuple[float, ...]) -> None:
    for pause in patience:
        try:
            return disk.current.rename(old, new)
        except PermissionError:
            disk.current.wait(pause)
    return disk.current.rename(old, new)


def settle(path: Path) -> None:
    """Make a file's bytes, or a folder's names, outlive a power cut, if the disk can."""
    try:
        disk.current.sync(path)
    except OSError as error:
        if error.errno not in UNSYNCABLE:  # said once, by `try_out`
            raise
