"""The fetch process: the only one with network and token. Writes only into the model store.

    python -I -m core.fetch get OWNER/NAME        python -I -m core.fetch search TEXT [LIMIT]
    python -I -m core.fetch shape OWNER/NAME

It says one JSON object per line on stdout: {"done", "total", "file"} while it goes on, then
{"folder"}, {"found"} or {"error", "hint"}. Started and read by `core.hub`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from core import durable
from core.errors import HubError
from core.fetch_shape import fetch_shape
from core.hub_wire import Wire, endpoint, offline_wanted, refusal
from core.machine import disk_free
from core.models import hub_folder, is_hub_id
from core.numbers import show_bytes

PIECE = 1 << 20
PAUSES = (0.5, 2.0, 5.0)
"""Seconds between attempts while nothing arrives; any progress starts them anew."""
SPARE = 200_000_000
"""Bytes of the disk that a download leaves free."""
SOURCE = "source.json"
"""Where a downloaded model came from: id, commit and the digest of every file."""
_WANTED = re.compile(
    r"[\w.-]+\.(safetensors|json|txt|jinja|model)|README\.md|(LICENSE|NOTICE|USE_POLICY)[\w.-]*"
)
_SECOND_COPY = re.compile(r"consolidated[\w.-]*\.safetensors")
Say = Callable[[dict[str, Any]], None]


class Remote(NamedTuple):
    """A file on the Hub: its size and what proves that it arrived whole."""

    name: str
    size: int
    sha256: str
    blob: str
    """Git's own checksum, for small files without a SHA-256."""

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


def get(model_id: str, wire: Wire, say: Say) -> Path:
    """Download a model into the store, or go on where the last attempt stopped.

    Raises HubError.
    """
    final = hub_folder(model_id)
    if final.is_dir():
        return final
    commit, files = _listed(model_id, wire)
    aside = final.parent / f".fetching-{final.name}"
    aside.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(final.parent / f"{aside.name}.lock", timeout=0):
            _same_commit(aside, commit)
            refuse_full_disk(model_id, aside, files)
            _get_all(_Source(wire, model_id, commit), files, aside, say)
            _finish(aside, final, model_id, commit, files)
    except Timeout as error:
        raise HubError(
            f"{model_id} is already being downloaded.", hint="Wait for the other download."
        ) from error
    return final


def _listed(model_id: str, wire: Wire) -> tuple[str, list[Remote]]:
    """The newest commit, and its files."""
    listing = wire.ask(f"/api/models/{model_id}/revision/main", model_id, blobs="true")
    return str(listing.get("sha", "")), list(_wanted(model_id, listing))


def _wanted(model_id: str, listing: dict[str, Any]) -> Iterator[Remote]:
    """The files a fine-tune needs: never pickles, never code, nothing from folders inside."""
    names = {str(entry.get("rfilename")): entry for entry in listing.get("siblings") or ()}
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        gguf = any(name.endswith(".gguf") for name in names)
        kind = "only GGUF files, which cannot be trained" if gguf else "no safetensors weights"
        raise HubError(
            f"{model_id} has {kind}.", hint="Choose the original model it was made from."
        )
    for name, entry in sorted(names.items()):
        if _WANTED.fullmatch(name) and not _SECOND_COPY.fullmatch(name):
            lfs = entry.get("lfs") or {}
            size = lfs.get("size", entry.get("size"))
            if not isinstance(size, int):
                raise HubError(f"{endpoint()} does not tell the size of {name}.")
            yield Remote(name, size, str(lfs.get("sha256", "")), str(entry.get("blobId", "")))


def _same_commit(aside: Path, commit: str) -> None:
    """Parts of an older version must not be mixed with a newer one."""
    mark = aside / ".commit"
    if mark.is_file() and mark.read_text(encoding="utf-8") != commit:
        shutil.rmtree(aside)
        aside.mkdir()
    mark.write_text(commit, encoding="utf-8")


def refuse_full_disk(model_id: str, aside: Path, files: Sequence[Remote]) -> None:
    """Raise HubError now rather than after an hour of downloading."""
    here = sum(path.stat().st_size for path in aside.iterdir())
    need = sum(file.size for file in files) - here + SPARE
    free = disk_free(aside)
    if need > free:
        raise HubError(
            f"{model_id} needs {show_bytes(need)} on the disk, {show_bytes(free)} are free.",
            hint=f"Free some space, or move the store with TUNESMITH_HOME. It is in {aside.parent}",
        )


class _Source(NamedTuple):
    wire: Wire
    model_id: str
    commit: str

    def path(self, name: str) -> str:
        """Where a file lies, pinned to the commit that was listed."""
        return f"/{self.model_id}/resolve/{self.commit}/{name}"


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


def _get_all(source: _Source, files: Sequence[Remote], aside: Path, say: Say) -> None:
    meter = _Meter(say, sum(file.size for file in files))
    for file in files:
        _get_one(source, file, aside, meter)
        meter.before += file.size
        meter.at(file.name, 0, always=True)


def _get_one(source: _Source, file: Remote, aside: Path, meter: _Meter) -> None:
    target = aside / file.name
    if target.is_file() and target.stat().st_size == file.size:
        return  # it was verified before it got this name
    part = aside / f"{file.name}.part"
    for _ in range(2):
        _fill(source, file, part, meter)
        if file.proves(part):
            part.replace(target)
            return
        part.unlink()
    raise HubError(
        f"{file.name} of {source.model_id} arrived damaged twice: its checksum is wrong.",
        hint="Something between this computer and the Hub changes the data; try another network.",
    )


def _fill(source: _Source, file: Remote, part: Path, meter: _Meter) -> None:
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
            raise refusal(trouble, source.model_id) from trouble
        time.sleep(pause)


def _append(source: _Source, file: Remote, part: Path, meter: _Meter) -> Exception:
    """Store what one connection brings; returns why it ended. Refusals are raised at once."""
    here = part.stat().st_size
    try:
        answer, start = source.wire.open_file(source.path(file.name), here)
        with answer, part.open("r+b") as out:
            out.truncate(start)
            out.seek(start)
            while piece := answer.read1(PIECE):  # what has arrived, without waiting for more
                _store(out, piece, source.model_id)
                meter.at(file.name, out.tell())
            os.fsync(out.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part does not belong to this file
            part.write_bytes(b"")
        elif error.code < 500:
            raise refusal(error, source.model_id) from error
        return error
    except (OSError, http.client.HTTPException) as error:
        return error
    return ConnectionError("the connection ended early")


def _store(out: Any, piece: bytes, model_id: str) -> None:
    try:
        out.write(piece)
        out.flush()
    except OSError as error:
        raise refusal(error, model_id) from error


def _finish(aside: Path, final: Path, model_id: str, commit: str, files: Sequence[Remote]) -> None:
    """Give the folder its name; before that nobody takes it for a model."""
    digests = {file.name: file.sha256 or file.blob for file in files}
    record = {"model": model_id, "commit": commit, "endpoint": endpoint(), "files": digests}
    durable.write_atomically(aside / SOURCE, json.dumps(record, indent=1))
    known = {SOURCE, *digests}
    for path in aside.iterdir():
        if path.name not in known:
            path.unlink()
    aside.rename(final)


def search(text: str, limit: int, wire: Wire) -> list[dict[str, Any]]:
    """Text models in safetensors that match, the most downloaded first. Raises HubError."""
    answer = wire.ask(
        "/api/models",
        f"the search for {text!r}",
        search=text,
        filter=["text-generation", "safetensors"],
        sort="downloads",
        limit=str(limit),
        expand=["downloads", "likes", "gated", "tags", "safetensors"],
    )
    return [_found(entry) for entry in answer if is_hub_id(str(entry.get("id")))]


def _found(entry: dict[str, Any]) -> dict[str, Any]:
    tags = [str(tag) for tag in entry.get("tags") or ()]
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return {
        "model_id": entry["id"],
        "downloads": int(entry.get("downloads") or 0),
        "likes": int(entry.get("likes") or 0),
        "gated": bool(entry.get("gated")),
        "licence": licences[0] if licences else "",
        "parameters": int((entry.get("safetensors") or {}).get("total") or 0),
    }


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _token() -> str:
    from huggingface_hub import get_token

    return get_token() or ""


def _obey(arguments: Sequence[str]) -> None:
    if offline_wanted():
        raise HubError(
            "This computer is set to stay offline (HF_HUB_OFFLINE).",
            hint="Remove HF_HUB_OFFLINE from the environment to download models.",
        )
    command, text, *rest = arguments
    if command == "search":
        _say({"found": search(text, int(rest[0]) if rest else 20, Wire(_token()))})
        return
    if not is_hub_id(text):
        raise HubError(f"{text!r:.80} is not a model id.", hint="Ids are written owner/name.")
    wire = Wire(_token())
    if command == "shape":
        commit, files = _listed(text, wire)
        sized = [(file.name, file.size) for file in files]
        _say({"folder": str(fetch_shape(text, commit, sized, wire))})
        return
    _say({"folder": str(get(text, wire, _say))})


def main(arguments: Sequence[str]) -> int:
    """Do one job; every failure is said in a line."""
    try:
        _obey(arguments)
    except BrokenPipeError:
        return 1  # whoever listened is gone; the parts stay for the next attempt
    except HubError as error:
        _say({"error": str(error), "hint": error.hint})
        return 1
    except OSError as error:
        told = refusal(error, arguments[1]) if error.filename is None else HubError(str(error))
        _say({"error": str(told), "hint": told.hint or "Check the folder and its permissions."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
