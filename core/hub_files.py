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
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from core import durable, offline
from core.errors import HubError
from core.hub_wire import Wire, endpoint, refusal
from core.machine import disk_free
from core.numbers import show_bytes
from core.redaction import redact

PIECE = 1 << 20
PAUSES = (0.5, 2.0, 5.0)
"""Seconds between attempts while nothing arrives; any progress starts them anew."""
PATIENCE = 60
"""Seconds; a server that wants a longer pause ends the download, which can go on later."""
SPARE = 200_000_000
"""Bytes of the disk that a download leaves free."""
KEPT_FOR = 14 * 86_400.0
"""Seconds that parts of a download wait for somebody who goes on with it."""
_ASIDE, _LOCK = ".fetching-", ".lock"
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
    sweep(final.parent)
    aside = final.parent / f"{_ASIDE}{final.name}"
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(_lock_of(aside), timeout=0):
            aside.mkdir(exist_ok=True)
            _same_commit(aside, source.commit)
            refuse_full_disk(source.about, aside, files)
            _get_all(source, files, aside, say)
            _finish(source, aside, final, record, files)
    except Timeout as error:
        raise HubError(
            f"{source.about} is already being downloaded.", hint="Wait for the other download."
        ) from error


def _lock_of(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}{_LOCK}")


def sweep(store: Path) -> None:
    """Remove what downloads left that nobody went on with for long, unless one is at work there.

    The empty lock files stay: removing one could let two processes hold the same download.
    """
    for aside in sorted(store.glob(f"{_ASIDE}*/")):
        with suppress(OSError, Timeout), FileLock(_lock_of(aside), timeout=0):
            if time.time() - _touched(aside) > KEPT_FOR:
                shutil.rmtree(aside)


def _touched(aside: Path) -> float:
    return max(path.stat().st_mtime for path in (aside, *aside.iterdir()))


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
    offline.refuse_hub(f"Downloading {source.about}")
    here = part.stat().st_size
    try:
        answer, start = source.wire.open_file(source.path(file.name), here)
        with answer:
            _refuse_another(source, file, answer.headers, start)
            with part.open("r+b") as out:
                out.truncate(start)
                out.seek(start)
                # what has arrived, without waiting for more; and no more than there should be
                while piece := answer.read1(min(PIECE, file.size - out.tell())):
                    _store(out, piece, source.about)
                    offline.refuse_hub(f"Downloading {source.about}")
                    meter.at(file.name, out.tell())
                os.fsync(out.fileno())
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # not a part of this file
            part.write_bytes(b"")
        elif error.code == HTTPStatus.TOO_MANY_REQUESTS and _waited(error):
            return error
        elif error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise refusal(error, source.about) from error
        return error
    except (OSError, http.client.HTTPException) as error:
        return error
    return ConnectionError("the connection ended early")


def _waited(error: urllib.error.HTTPError) -> bool:
    """Whether the server named a short pause, which is over now."""
    named = error.headers.get("Retry-After", "")
    if not (named.isascii() and named.isdigit()) or int(named) > PATIENCE:
        return False
    time.sleep(int(named))
    return True


def _refuse_another(source: Source, file: Remote, headers: Message, start: int) -> None:
    """A page to log in with, or another file, must not be taken for this one. Raises HubError."""
    length = headers.get("Content-Length", "")
    if not length.isdigit() or int(length) == file.size - start:
        return
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    what = "a web page" if kind == "text/html" else f"a file of {show_bytes(start + int(length))}"
    raise HubError(
        f"Instead of {file.name} of {source.about}, {show_bytes(file.size)}, {what} was sent.",
        hint="Perhaps this network wants a log-in first: open a web page in a browser, then try "
        "again. What was downloaded so far is kept.",
    )


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
    durable.write_atomically(aside / name, redact(json.dumps(written, indent=1)))
    known = {name, *(file.local for file in files)}
    for path in aside.iterdir():
        if path.name not in known:
            path.unlink()
    durable.settle(aside)
    aside.rename(final)
    durable.settle(final.parent)
