"""A reward from a file of the user's own: the one place where a text is run as Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.errors import RunError
from core.rewards import Python
from core.rewards.judged import fingerprint


def load(name: str, reward: Python) -> Callable[..., Any]:
    """The function of a file that was consented to; what was hashed is what runs.

    Raises RunError; nothing of a file that was not consented to is run.
    """
    try:
        source = reward.source()
    except OSError as error:
        raise _unusable(reward, f"cannot be read: {error.strerror}") from error
    if fingerprint(source) != reward.consent:
        raise _unusable(reward, "is not the one that was consented to, and was not run")
    space: dict[str, Any] = {"__name__": f"reward_{name}", "__file__": reward.path}
    try:
        exec(compile(source, reward.path, "exec"), space)
    except Exception as error:
        raise _unusable(reward, f"fails: {type(error).__name__}: {error}") from error
    found: Callable[..., Any] | None = space.get("reward")
    if not callable(found):
        raise _unusable(reward, "has no function `reward(prompt, answer, expected)`")
    return found


def _unusable(reward: Python, why: str) -> RunError:
    return RunError(
        f"The reward file {reward.path} {why}.",
        hint="Read the file, then consent to it again in objective.rewards.",
    )
