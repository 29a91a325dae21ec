"""Files from the Hub into a folder that is whole or absent, however often the connection breaks.

Runs in the fetch process only.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from core import durable, offline
from core.errors import HubError
from core.hub_wire import Wire, endpoint, refusal
from core.machine import disk_free
from core.numbers import show_bytes

PIECE = 1 << 20
PAUSES = (0.5, 2.0, 5.0)
"""Seconds between attempts while nothing arrives; any progress starts them anew."""
SPARE = 200_000_000
"""Bytes of the disk that a download leaves free."""
Say = Callable[[dict[str, Any]], None]


class Remote(NamedTuple):
    """A file on the Hub: its size and what proves that it arrived whole."""

    name: str
    size: int
    sha256: str
    blob: str
    """Git's own checksum, for small files without a SHA-256."""

    @property
    def local(self) -> str:
        """Its name on this computer, where folders become part of the name."""
        return self.name.replace("/", "--")

    def proves(self, path: Path) -> bool:
        """Whether the bytes on disk are the ones the Hub promised."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256:
            return durable.digest(path) == self.sha256
        return not self.blob or _git_blob(path) == self.blob


def _git_blob(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def remote(name: str, entry: Mapping[str, Any]) -> Remote:
    """A file as the Hub lists it. Raises HubError."""
    lfs = entry.get("lfs") or {}
    size = lfs.get("size", entry.get("size"))
    if not isinstance(size, int):
        raise HubError(f"{endpoint()} does not tell the size of {name}.")
    return Remote(name, size, str(lfs.get("sha256", "")), str(entry.get("blobId", "")))


class Source(NamedTuple):
    """A repository at one commit; `about` is its address behind the Hub's."""

    wire: Wire
    about: str
    commit: str

    def path(self, name: str) -> str:
        """Where a file lies, pinned to the commit that was listed."""
        return f"/{self.about}/resolve/{self.commit}/{urllib.parse.quote(name)}"


Record = tuple[str, dict[str, str]]
"""Name and first lines of the file that says where a download came from."""


def download(
    source: Source, files: Sequence[Remote], final: Path, record: Record, say: Say
) -> None:
    """Fill a folder, or go on where the last attempt stopped. Raises HubError."""
    aside = final.parent / f".fetching-{final.name}"
    aside.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(final.parent / f"{aside.name}.lock", timeout=0):
            _same_commit(aside, source.commit)
            refuse_full_disk(source.about, aside, files)
            _get_all(source, files, aside, say)
            _finish(source, aside, final, record, files)
    except Timeout as error:
        raise HubError(
            f"{source.about} is already being downloaded.", hint="Wait for the other download."
        ) from error


def _same_commit(aside: Path, commit: str) -> None:
    """Parts of an older version must not be mixed with a newer one."""
    mark = aside / ".commit"
    if mark.is_file() and mark.read_text(encoding="utf-8") != commit:
        shutil.rmtree(aside)
        aside.mkdir()
    mark.write_text(commit, encoding="utf-8")


def refuse_full_disk(about: str, aside: Path, files: Sequence[Remote]) -> None:
    """Raise HubError now rather than after an hour of downloading."""
    here = sum(path.stat().st_size for path in aside.iterdir())
    need = sum(file.size for file in files) - here + SPARE
    free = disk_free(aside)
    if need > free:
        raise HubError(
            f"{about} needs {show_bytes(need)} on the disk, {show_bytes(free)} are free.",
            hint=f"Free some space, or move the store with TUNESMITH_HOME. It is in {aside.parent}",
        )


class _Meter:
    """Says how far the whole download is, a few times per second."""

    def __init__(self, say: Say, total: int) -> None:
        self._say = say
        self._total = total
        self._last = 0.0
        self._file = ""
        self.before = 0

    def at(self, file: str, done: int, *, always: bool = False) -> None:
        """Bytes of the current file that are here."""
        if always or file != self._file or time.monotonic() - self._last > 0.2:
            self._last, self._file = time.monotonic(), file
            self._say({"done": self.before + done, "total": self._total, "file": file})


def _get_all(source: Source, files: Sequence[Remote], aside: Path, say: Say) -> None:
    meter = _Meter(say, sum(file.size for file in files))
    for file in files:
        _get_one(source, file, aside, meter)
        meter.before += file.size
        meter.at(file.name, 0, always=True)


def _get_one(source: Source, file: Remote, aside: Path, meter: _Meter) -> None:
    target = aside / file.local
    if target.is_file() and target.stat().st_size == file.size:
        return  # it was verified before it got this name
    part = aside / f"{file.local}.part"
    for _ in range(2):
        _fill(source, file, part, meter)
        if file.proves(part):
            part.replace(target)
            return
        part.unlink()
    raise HubError(
        f"{file.name} of {source.about} arrived damaged twice: its checksum is wrong.",
        hint="Something between this computer and the Hub changes the data; try another network.",
    )


def _fill(source: Source, file: Remote, part: Path, meter: _Meter) -> None:
    """Append to a part until it is complete, through as many connections as it takes."""
    part.touch()
    if part.stat().st_size > file.size:
        part.unlink()
        part.touch()
    pauses = iter(PAUSES)
    while (here := part.stat().st_size) < file.size:
        trouble = _append(source, file, part, meter)
        if part.stat().st_size > here:
            pauses = iter(PAUSES)
            continue
        pause = next(pauses, None)
        if pause is None:
            raise refusal(trouble, source.about) from trouble
        time.sleep(pause)


def _append(source: Source, file: Remote, part: Path, meter: _Meter) -> Exception:
    """Store what one connection brings; returns why it ended. Refusals are raised at once."""
    here = part.stat().st_size
    try:
        answer, start = source.wire.open_file(source.path(file.name), here)
        with answer, part.open("r+b") as out:
            out.truncate(start)
            out.seek(start)
            while piece := answer.read1(PIECE):  # what has arrived, without waiting for more
                _store(out, piece, source.about)
                offline.refuse_hub(f"Downloading {source.about}")
                meter.at(file.name, out.tell())
            os.fsync(out.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part does not belong to this file
            part.write_bytes(b"")
        elif error.code < 500:
            raise refusal(error, source.about) from error
        return error
    except (OSError, http.client.HTTPException) as error:
        return error
    return ConnectionError("the connection ended early")


def _store(out: Any, piece: bytes, about: str) -> None:
    try:
        out.write(piece)
        out.flush()
    except OSError as error:
        raise refusal(error, about) from error


def _finish(
    source: Source, aside: Path, final: Path, record: Record, files: Sequence[Remote]
) -> None:
    """Give the folder its name; before that nobody takes it for whole."""
    digests = {file.name: file.sha256 or file.blob for file in files}
    name, first = record
    written = first | {"commit": source.commit, "endpoint": endpoint(), "files": digests}
    durable.write_atomically(aside / name, json.dumps(written, indent=1))
    known = {name, *(file.local for file in files)}
    for path in aside.iterdir():
        if path.name not in known:
            path.unlink()
    aside.rename(final)
