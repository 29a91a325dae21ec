"""A server of our own that speaks like OpenAI's, and misbehaves on wish."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.core.local_server import serving

KEY = "sk-very-secret-0123456789"
Said = dict[str, Any]


@dataclass
class Answer:
    """What is sent back for one request."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent instead of a well-built answer."""
    usage: tuple[int, int] | None = (100, 50)
    stall: bool = False
    """Nothing comes until the server ends."""


def rows(*pairs: tuple[str, str], **more: str) -> Answer:
    """A good answer: questions with their answers."""
    found = [{"question": q, "answer": a, **more} for q, a in pairs]
    return Answer(text=json.dumps(found))


@dataclass
class Server:
    """What was asked."""

    answer: Callable[[int, Said], Answer]
    """The answer to a request, by its number and body."""
    url: str = ""
    asked: list[Said] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(answer: Callable[[int, Said], Answer]) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Server(answer)
    handler = type("Handler", (_Handler,), {"served": server})
    with serving(handler, server.released.set) as server.url:
        yield server


class _Handler(BaseHTTPRequestHandler):
    served: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read what was asked from `Server`, not from stderr."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.served
        server.asked.append(said)
        server.keys.append(self.headers.get("Authorization", ""))
        server.paths.append(self.path)
        answer = server.answer(len(server.asked) - 1, said)
        if answer.stall:
            server.released.wait()
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = _body(answer) if answer.body is None else answer.body
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _body(answer: Answer) -> bytes:
    said: Said = {"choices": [{"message": {"role": "assistant", "content": answer.text}}]}
    if answer.usage:
        asked, written = answer.usage
        said["usage"] = {"prompt_tokens": asked, "completion_tokens": written}
    return json.dumps(said).encode()
