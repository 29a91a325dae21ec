"""A gate before the network, inside a process: what Python code sends passes here, or does not.

Python tells its audit hooks of every name that is looked up and every address that is connected
to, whichever library asks. Code in C that opens sockets by itself is not heard; where it matters,
in the engine, the kernel refuses those (core/engine/confine.py).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST = 50
"""Distinct attempts that are remembered."""
_PLACES = {
    "socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.bind": 1,
    "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}  # fmt: skip
"""Events, and which of their arguments names the other side."""
_PLUMBING = {
    "socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "httpx2", "httpcore",
    "anyio", "asyncio", "selectors", "concurrent", "threading", "contextlib", "truststore",
}  # fmt: skip
"""Who asks for somebody else."""
_OWN = "core.reach"


class Attempt(NamedTuple):
    """Something wanted to send; nothing was sent."""

    host: str
    by: str
    """The module that asked."""

    def __str__(self) -> str:
        return f"{self.by} asked for {self.host}; nothing was sent."


class Shut(PermissionError):
    """The gate is shut. An OSError, so that libraries take it for a network that is not there."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(f"offline: {attempt}")
        self.attempt = attempt


class _Gate:
    """One for the process: audit hooks cannot be taken back."""

    def __init__(self) -> None:
        self.hooked = False
        self.shut: Callable[[], bool] = lambda: False
        self.tell: Callable[[Attempt], object] = lambda attempt: None
        self.seen: dict[Attempt, None] = {}
        self.open_to: frozenset[str] = frozenset()


_gate = _Gate()


def guard(
    shut: Callable[[], bool], tell: Callable[[Attempt], object] = lambda attempt: None
) -> None:
    """From now on nothing is sent while `shut` says so, but to hosts that were `let`.

    `tell` hears of each new attempt, in the thread that made it.
    """
    _gate.shut, _gate.tell = shut, tell
    if not _gate.hooked:
        _gate.hooked = True
        sys.addaudithook(_judge)


def let(*hosts: str) -> None:
    """Open the gate to these hosts, whatever `shut` says."""
    _gate.open_to |= frozenset(hosts)


def attempts() -> list[Attempt]:
    """What was refused so far, each once."""
    return list(_gate.seen)


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    place = _PLACES.get(event)
    if place is None or not _gate.shut():
        return
    host = _host(arguments, place)
    if host is None or host in _gate.open_to:
        return
    attempt = Attempt(host, _asker())
    if attempt not in _gate.seen and len(_gate.seen) < MOST:
        _gate.seen[attempt] = None
        _gate.tell(attempt)
    raise Shut(attempt)


def _host(arguments: tuple[Any, ...], place: int) -> str | None:
    """The other side as people know it; None for what never leaves the computer."""
    if place and arguments[0].family not in (socket.AF_INET, socket.AF_INET6):
        return None
    named = arguments[place]
    if isinstance(named, tuple):
        named = named[0]
    if isinstance(named, bytes | bytearray):
        named = named.decode(errors="replace")
    return None if named is None and place else str(named or "this computer")


def _asker() -> str:
    """The nearest module on the stack that is no plumbing."""
    frame = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name != _OWN and name.partition(".")[0] not in _PLUMBING:
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return "an unknown part"
