"""Folders that are whole or absent.

The order is the guarantee: files are written aside and fsynced, a manifest with their sizes and
SHA-256 sums is renamed in, the folder is fsynced, renamed to its final name, and the parent is
fsynced. A folder counts only when its manifest verifies; whatever a crash leaves is swept later.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
_STAGING, _TRASH = ".staging-", ".trash-"


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """Give a folder to fill; it becomes `final` when the block ends without an error.

    The caller seals it (`seal`) before the block ends. A crash leaves only a `.staging-` folder.
    """
    aside = final.parent / f"{_STAGING}{os.getpid()}-{final.name}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        _publish(aside, final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def seal(folder: Path, **facts: Any) -> int:
    """Make every file durable and write the manifest; returns the bytes sealed."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        _fsync(path)
        size = path.stat().st_size
        files[path.relative_to(folder).as_posix()] = {"bytes": size, "sha256": digest(path)}
    for inner in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
        _fsync(inner)
    write_atomically(
        folder / MANIFEST, json.dumps({"format": FORMAT, "files": files, **facts}, indent=1)
    )
    return sum(entry["bytes"] for entry in files.values())


def verify(folder: Path) -> str | None:
    """Why this folder cannot be trusted, or None when every file is what the manifest says."""
    try:
        files = read_manifest(folder)["files"]
    except (OSError, ValueError):
        return f"{folder.name}: no readable manifest"
    faults = (_fault(folder, name, entry) for name, entry in files.items())
    return next((fault for fault in faults if fault), None)


def _fault(folder: Path, name: str, entry: Any) -> str | None:
    """What is wrong with one file; a name that leads elsewhere was not written by `seal`."""
    path = folder / name
    if not path.is_relative_to(folder) or ".." in Path(name).parts or "\\" in name:
        return f"{folder.name}: the manifest names a file outside, {ascii(name)[:80]}"
    if path.is_symlink() or not path.is_file():
        return f"{folder.name}/{name}: missing"
    if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int):
        return f"{folder.name}/{name}: the manifest does not say its size"
    size = path.stat().st_size
    if size != entry["bytes"]:
        return f"{folder.name}/{name}: {size:,} of {entry['bytes']:,} bytes"
    if digest(path) != entry.get("sha256"):
        return f"{folder.name}/{name}: checksum differs"
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as plain data. Raises OSError or ValueError."""
    manifest: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ValueError(f"{folder.name}: the manifest lists no files")
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{folder.name}: written by another version")
    return manifest


def discard(folder: Path) -> None:
    """Delete a folder so that no crash leaves half of it under its own name."""
    trash = folder.parent / f"{_TRASH}{folder.name}"
    shutil.rmtree(trash, ignore_errors=True)
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove what crashes left behind."""
    if parent.is_dir():
        for path in parent.iterdir():
            if path.name.startswith((_STAGING, _TRASH)):
                shutil.rmtree(path, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that readers see the old or the new text, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    _fsync(path.parent)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(aside: Path, final: Path) -> None:
    if final.exists():
        discard(final)
    aside.rename(final)
    _fsync(final.parent)


def _fsync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a directory for fsync; its journal orders the rename
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
