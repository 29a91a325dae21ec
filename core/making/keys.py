"""The key for a server: where it is found, and who gets to see it. Nothing else holds one."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass, field

from core import vault
from core.errors import EndpointError
from core.redaction import SERVER_SECRETS, learn

KEYS = SERVER_SECRETS
"""Variables of the environment that may hold the key, the first one first."""
OPENAI = "openai.com"
"""Who the second one is meant for: no other server gets to see it."""


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
    return _sound(Key(vault.kept(host), "the system's keyring"))


def _is_openai(host: str) -> bool:
    name = host.partition(":")[0].casefold()
    return name == OPENAI or name.endswith(f".{OPENAI}")


def _sound(key: Key) -> Key:
    """Nothing that could end a header and begin another."""
    if not key.secret:
        return Key()
    if not key.secret.isascii() or not key.secret.isprintable():
        raise EndpointError(
            f"The key in {key.origin} holds characters that no key has.",
            hint="Copy it again, without line breaks.",
        )
    learn(key.secret)
    return key


def keep(url: str, secret: str) -> None:
    """Put the key for a server into the system's keyring. Raises EndpointError."""
    try:
        vault.keep(host_of(url), secret)
    except vault.VaultError as error:
        raise EndpointError(
            "The system's keyring did not take the key.",
            hint="Unlock it, or give the key anew each time.",
        ) from error


def host_of(url: str) -> str:
    """The server's name and port, as people and the keyring know it."""
    return urllib.parse.urlsplit(url.strip()).netloc.rpartition("@")[2]
