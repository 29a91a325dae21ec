"""The system's keyring: the one place on the disk where Tunesmith keeps a secret.

The package `keyring` reaches it and may be absent; then nothing is kept.
"""

from __future__ import annotations

import importlib.util

SERVICE = "tunesmith"
"""Under this name, with a server's as user, the keyring holds its secret."""


class VaultError(Exception):
    """The keyring is locked or takes nothing."""


def can_keep() -> bool:
    """Whether there is a way to the system's keyring."""
    return importlib.util.find_spec("keyring") is not None


def kept(host: str) -> str:
    """The secret for a server; a locked keyring is as good as none."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return keyring.get_password(SERVICE, host) or ""
    except KeyringError:
        return ""


def keep(host: str, secret: str) -> None:
    """Put the secret for a server into the keyring. Raises VaultError."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, host, secret)
    except KeyringError as error:
        raise VaultError(str(error)) from error
