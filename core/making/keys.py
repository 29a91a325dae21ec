"""The key for a server: where it is found, and where it may be kept. Nothing else holds one."""

from __future__ import annotations

import importlib.util
import os
import urllib.parse
from dataclasses import dataclass, field

from core.errors import EndpointError

KEYS = ("TUNESMITH_API_KEY", "OPENAI_API_KEY")
"""Variables of the environment that may hold the key, the first one first."""
OPENAI = "openai.com"
"""Who the second one is meant for: no other server gets to see it."""
SERVICE = "tunesmith"
"""Under this name, with the server's as user, the system's keyring may hold a key."""


@dataclass(frozen=True)
class Key:
    """A secret that no message repeats, and where it was found."""

    secret: str = field(default="", repr=False)
    origin: str = ""


def find_key(url: str) -> Key:
    """The key for a server: from the environment, else from the system's keyring, else none."""
    host = host_of(url)
    for name in KEYS if _is_openai(host) else KEYS[:1]:
        if secret := os.environ.get(name, "").strip():
            return _sound(Key(secret, name))
    return _sound(Key(_kept(host), "the system's keyring"))


def _is_openai(host: str) -> bool:
    name = host.partition(":")[0].casefold()
    return name == OPENAI or name.endswith(f".{OPENAI}")


def _kept(host: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return keyring.get_password(SERVICE, host) or ""
    except KeyringError:
        return ""  # a locked keyring is as good as none; the server says when it needs a key


def _sound(key: Key) -> Key:
    """Nothing that could end a header and begin another."""
    if not key.secret:
        return Key()
    if not key.secret.isascii() or not key.secret.isprintable():
        raise EndpointError(
            f"The key in {key.origin} holds characters that no key has.",
            hint="Copy it again, without line breaks.",
        )
    return key


def can_keep() -> bool:
    """Whether there is a way to the system's keyring."""
    return importlib.util.find_spec("keyring") is not None


def keep(url: str, secret: str) -> None:
    """Put the key for a server into the system's keyring. Raises EndpointError."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, host_of(url), secret)
    except KeyringError as error:
        raise EndpointError(
            "The system's keyring did not take the key.",
            hint="Unlock it, or give the key anew each time.",
        ) from error


def host_of(url: str) -> str:
    """The server's name and port, as people and the keyring know it."""
    return urllib.parse.urlsplit(url.strip()).netloc.rpartition("@")[2]
