"""A Hub of our own on this computer: the few answers of the real one that a download needs."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.core.local_server import serving

COMMIT, CONVERTED = "a" * 40, "c" * 40


@dataclass
class Repo:
    """A model or dataset and how its server misbehaves."""

    files: dict[str, bytes]
    gated: bool = False
    status: int = 0
    """Answer everything about this model with this error."""
    corrupt: str = ""
    """A file that arrives with one byte changed."""
    cut_after: int = 0
    """Bytes after which a connection is cut, once per file."""
    stall_after: int = 0
    """Bytes after which nothing more comes until `released`; -1: not even one comes."""
    page: str = ""
    """A file instead of which a web page comes."""
    unequal: int = 0
    """Bytes that every file of weights is longer, or shorter, than the listing says."""
    endless: str = ""
    """A file that goes on after its end, without telling its length."""
    limited: list[str] = field(default_factory=list)
    """Values of Retry-After with which the next requests for a file are refused (429)."""
    shifted: int = 0
    """Bytes by which the answer begins elsewhere than asked for, and says so."""
    lost_range: bool = False
    """Answer 416 to whoever asks for a part."""
    pace: float = 0.0
    """Seconds that each megabyte takes."""
    commit: str = COMMIT
    converted: dict[str, bytes] = field(default_factory=dict)
    """Files of the branch that holds the Hub's own conversion to Parquet."""
    cuts: set[str] = field(default_factory=set)

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a revision."""
        if revision in ("main", self.commit):
            return self.commit, self.files
        if self.converted and revision in ("refs/convert/parquet", CONVERTED):
            return CONVERTED, self.converted
        return None


@dataclass
class Hub:
    """What is served, and what was asked."""

    repos: dict[str, Repo]
    """Models by owner/name, datasets by datasets/owner/name."""
    url: str = ""
    ranges: list[tuple[str, str]] = field(default_factory=list)
    """Files asked for, each with its Range header."""
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    """Of every slow answer that is over: the file, its first byte, and how many bytes were sent."""
    begun: int = 0
    """How many slow answers there were, over or not."""
    tokens: set[str] = field(default_factory=set)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def asked(self, name: str) -> list[str]:
        """The Range headers of the requests for one file."""
        return [range_ for file, range_ in self.ranges if file == name]


@contextmanager
def serve(repos: dict[str, Repo]) -> Iterator[Hub]:
    """Run a Hub until the block ends."""
    hub = Hub(repos)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with serving(handler, hub.released.set) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read what was asked from `Hub`, not from stderr."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        parts = urlsplit(self.path)
        if parts.path.startswith("/login/"):
            self._send_body(b"<html>Please log in to the network</html>")
        elif parts.path == "/api/models":
            self._search(parse_qs(parts.query))
        elif parts.path.startswith("/api/models/"):
            self._listing("/".join(parts.path.split("/")[3:5]), "main")
        elif parts.path.startswith("/api/datasets/"):
            name, _, revision = parts.path.removeprefix("/api/").partition("/revision/")
            self._listing(name, unquote(revision))
        elif "/resolve/" in parts.path:
            self._file(*parts.path.strip("/").split("/resolve/"))
        else:
            self._refuse(404, "")

    def _search(self, query: dict[str, list[str]]) -> None:
        self.hub.queries.append(query)
        found = [
            {"id": name, "downloads": 7, "likes": 1, "gated": repo.gated and "auto",
             "tags": ["license:apache-2.0"], "safetensors": {"total": 1000}}
            for name, repo in self.hub.repos.items()
            if query["search"][0] in name
        ]  # fmt: skip
        self._json(found[: int(query["limit"][0])])

    def _listing(self, name: str, revision: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        found = repo.at(revision)
        if found is None:
            self._refuse(404, "RevisionNotFound")
            return
        commit, files = found
        siblings = [_sibling(file, content) for file, content in files.items()]
        self._json({"id": name, "sha": commit, "siblings": siblings})

    def _repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._refuse(401, "RepoNotFound")
        elif repo.status:
            self._refuse(repo.status, "")
        elif repo.gated and not self.headers.get("Authorization"):
            self._refuse(401, "GatedRepo")
        else:
            return repo
        return None

    def _file(self, name: str, place: str) -> None:
        repo = self._repo(name)
        commit, _, file = unquote(place).partition("/")
        if repo is None:
            return
        _, files = repo.at(commit) or ("", {})
        if file not in files:
            self._refuse(404, "EntryNotFound")
            return
        if repo.limited:
            self._refuse(429, "", {"Retry-After": repo.limited.pop(0)})
            return
        self.hub.ranges.append((file, self.headers.get("Range", "")))
        if file == repo.page:
            self._send_body(b"<html>Please log in to the network</html>", "text/html")
            return
        self._send(repo, file, files[file])

    def _send(self, repo: Repo, file: str, content: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start >= len(content) or (start and repo.lost_range):
            self._refuse(416, "")
            return
        if repo.unequal and file.endswith(".safetensors"):
            content = (content + b"x" * repo.unequal)[: len(content) + repo.unequal]
        start = max(0, start - repo.shifted) if "Range" in self.headers else start
        if file == repo.endless:
            self._drown(content[start:])
            return
        if file == repo.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if "Range" in self.headers:
            whole = len(content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("ETag", f'"{_sha256(content)}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("X-Linked-Size", str(len(content)))
        self.end_headers()
        if repo.pace:
            self._slowly(repo.pace, file, start, content[start:])
        else:
            self._body(repo, file, content[start:])

    def _body(self, repo: Repo, file: str, body: bytes) -> None:
        if repo.cut_after and file not in repo.cuts and len(body) > repo.cut_after:
            repo.cuts.add(file)
            self.wfile.write(body[: repo.cut_after])
            self.close_connection = True
        elif repo.stall_after and len(body) > repo.stall_after:
            self.wfile.write(body[: max(0, repo.stall_after)])
            self.wfile.flush()
            self.hub.released.wait()
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _slowly(self, pace: float, file: str, start: int, body: bytes) -> None:
        """Count what goes out, until whoever asked is gone."""
        sent = 0
        self.hub.begun += 1
        try:
            for at in range(0, len(body), 1 << 16):
                sent += self.wfile.write(body[at : at + (1 << 16)])
                time.sleep(pace / 16)
        except OSError:
            self.close_connection = True
        self.hub.sent.append((file, start, sent))

    def _drown(self, body: bytes) -> None:
        """More and more, until whoever asked has had enough."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(body)
            while not self.hub.released.is_set():
                self.wfile.write(bytes(1 << 20))

    def _json(self, answer: object) -> None:
        self._send_body(json.dumps(answer).encode())

    def _send_body(self, body: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, code: int, reason: str, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        if reason:
            self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()


@functools.cache
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@functools.cache
def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    """Weights are stored by SHA-256, small files by git's own checksum, as on the real Hub."""
    blob = _blob(content)
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith((".safetensors", ".parquet")):
        entry["lfs"] = {"sha256": _sha256(content), "size": len(content), "pointerSize": 134}
    return entry
