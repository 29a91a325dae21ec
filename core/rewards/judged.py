"""Rewards that only the engine can give: a trained reward model, and a file of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from core.rewards.base import Reward
from core.value import FILE, FOLDER


class Model(Reward):
    """What a trained reward model says."""

    kind: Literal["model"] = "model"
    title: ClassVar = "A reward model"
    summary: ClassVar = "The number that a reward model gives to question and answer."

    run: str = Field(
        min_length=1,
        title="Run",
        description="Folder of the run that trained the reward model.",
        json_schema_extra={FOLDER: True},
    )


class Python(Reward):
    """What a function of one's own says."""

    kind: Literal["python"] = "python"
    title: ClassVar = "A Python function"
    summary: ClassVar = (
        "The number that `reward(prompt, answer, expected)` returns. The file runs as a program "
        "with your rights but no network, so it needs your consent, which ends when it changes."
    )

    path: str = Field(
        min_length=1,
        title="File",
        description="A .py file with `def reward(prompt, answer, expected)` that returns a number; "
        "prompt is the list of messages, answer and expected are texts.",
        json_schema_extra={FILE: "Python (*.py)"},
    )
    consent: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        title="Consent",
        description="SHA-256 of the file that may run. Empty: it may not.",
    )

    @property
    def compares(self) -> bool:
        """It is given the expected answer, whatever it does with it."""
        return True

    def source(self) -> bytes:
        """What the file says now. Raises OSError."""
        return Path(self.path).expanduser().read_bytes()


def fingerprint(source: bytes) -> str:
    """What consent to a file is written down as."""
    return hashlib.sha256(source).hexdigest()
