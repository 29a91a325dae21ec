"""Secrets are not repeated: whatever writes or shows text asks here first."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

HIDDEN = "[secret]"
HUB_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
SERVER_SECRETS = ("TUNESMITH_API_KEY", "OPENAI_API_KEY")
"""Variables of the environment that hold a secret of ours: the Hub's, and those of servers."""
SHORTEST = 6
"""Characters; what is shorter is no secret and might stand in any word."""
_SHAPES = {
    "hf_": re.compile(r"()hf_(?:(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{10,}|[A-Za-z0-9]{24,})"),
    "sk-": re.compile(r"(?<![A-Za-z])()sk-(?=[A-Za-z_-]{0,40}\d)[\w-]{16,}"),
    "earer ": re.compile(r"(earer )(?=[A-Za-z._~+/=-]{0,40}\d)[\w.~+/=-]{8,}"),
    "://": re.compile(r"(://)[^/\s:@\"']{1,200}:[^/\s@\"']{1,200}(?=@)"),
}
"""Tokens of the Hub, keys of OpenAI's kind, what follows Bearer, and passwords in addresses; each
by a part that is quickly looked for. Looking ahead is bounded, so that no text is slow."""
_learnt: set[str] = set()


def learn(secret: str) -> str:
    """From now on this very text is hidden in this process; returns it."""
    if len(secret) >= SHORTEST:
        _learnt.add(secret)
    return secret


def redact(text: str) -> str:
    """The text without a secret that this process knows, or that looks like one."""
    for secret in _known():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    for sign, shape in _SHAPES.items():
        if sign in text:
            text = shape.sub(rf"\1{HIDDEN}", text)
    return text


def holds_secret(text: str) -> bool:
    """Whether something in the text must not be written down."""
    return redact(text) != text


def _known() -> Iterator[str]:
    """Each secret as it is and as addresses and JSON write it, the longest form first."""
    given = (os.environ.get(name, "").strip() for name in (*HUB_SECRETS, *SERVER_SECRETS))
    for secret in _learnt.union(one for one in given if len(one) >= SHORTEST):
        forms = {secret, urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]}
        yield from sorted(forms, key=len, reverse=True)


def without_secrets(environment: dict[str, str], *needed: str) -> dict[str, str]:
    """An environment for a process that needs only some of the secrets, or none."""
    unneeded = {*HUB_SECRETS, *SERVER_SECRETS}.difference(needed)
    return {name: value for name, value in environment.items() if name not in unneeded}


class _Covered:
    """A stream of text that repeats no secret."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(redact(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def cover_streams() -> None:
    """Tracebacks and what libraries print pass the redactor from now on, in this process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Covered):
            setattr(sys, name, _Covered(stream))
