"""What a sealed folder says of itself: the size and SHA-256 sum of every file, and its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
"""Grows when an older program would misread what is written."""
_SUM = "sum"
_STRAY = ("Thumbs.db", "desktop.ini")
"""What file browsers leave where they have been, beside names that begin with a dot."""


class Newer(ValueError):
    """Written in a format that this version does not know yet."""


def manifest_of(files: Mapping[str, tuple[int, str]], facts: Mapping[str, Any]) -> str:
    """The text of a manifest: bytes and sum of each file by its name, and facts about them."""
    entries = {name: {"bytes": size, "sha256": found} for name, (size, found) in files.items()}
    manifest = {"format": FORMAT, "files": entries, **facts}
    return json.dumps(manifest | {_SUM: _sum(manifest)}, indent=1)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as plain data, unknown keys included.

    Raises OSError, or ValueError with a sentence: Newer when only an update can read it.
    """
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder.name}: no readable manifest") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ValueError(f"{folder.name}: no readable manifest")
    if manifest["format"] > FORMAT:
        raise Newer(f"{folder.name}: made by a newer version of Tunesmith; update to use it")
    known = manifest.pop(_SUM, None)  # manifests of the first versions have none
    if known not in (None, _sum(manifest)) or not _lists_files(manifest.get("files")):
        raise ValueError(f"{folder.name}: no readable manifest")
    return manifest


def _lists_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
        for entry in files.values()
    )


def _sum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def verify(folder: Path, *, alone: bool = False) -> str | None:
    """Why this folder cannot be trusted, or None when every file is what the manifest says.

    With `alone`, files that the manifest does not name count as damage.
    """
    try:
        files = read_manifest(folder)["files"]
    except OSError:
        return f"{folder.name}: no readable manifest"
    except ValueError as error:
        return str(error)
    faults = (_fault(folder, name, entry) for name, entry in files.items())
    found = next((fault for fault in faults if fault), None)
    return found or (_stranger(folder, set(files)) if alone else None)


def _fault(folder: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    """What is wrong with one file; a name that leads elsewhere was not written by us."""
    path = folder / name
    if not path.is_relative_to(folder) or ".." in Path(name).parts or "\\" in name:
        return f"{folder.name}: the manifest names a file outside, {ascii(name)[:80]}"
    if path.is_symlink():
        return f"{folder.name}/{name}: a link instead of a file"
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"{folder.name}/{name}: {size:,} of {entry['bytes']:,} bytes"
        if digest(path) != entry["sha256"]:
            return f"{folder.name}/{name}: checksum differs"
    except FileNotFoundError:
        return f"{folder.name}/{name}: missing"
    except OSError as error:
        return f"{folder.name}/{name}: {error.strerror or error}"
    return None


def _stranger(folder: Path, known: set[str]) -> str | None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        harmless = path.name.startswith(".") or path.name in (MANIFEST, *_STRAY)
        if path.is_file() and name not in known and not harmless:
            return f"{folder.name}/{name}: not in the manifest"
    return None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
