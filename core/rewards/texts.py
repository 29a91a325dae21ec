"""Rewards for what an answer says, word by word."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import regex
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from core.formats import Message
from core.rewards.base import Pure

SECONDS = 1.0
"""A pattern that searches one answer for longer is refused: some never end."""


def _compiles(pattern: str) -> str:
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise PydanticCustomError(
            "pattern", "this is no regular expression: {why}", {"why": str(error)}
        ) from error
    return pattern


class Exact(Pure):
    """The expected answer and nothing else."""

    kind: Literal["exact"] = "exact"
    title: ClassVar = "Exactly as expected"
    summary: ClassVar = "1 for the expected answer, else 0. Spaces round it do not count."

    ignore_case: bool = Field(
        False, title="Ignore case", description="Whether upper and lower case are the same."
    )

    @property
    def compares(self) -> bool:
        """With nothing else."""
        return True

    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """1 or 0."""
        said, wanted = answer.strip(), expected.strip()
        if self.ignore_case:
            said, wanted = said.casefold(), wanted.casefold()
        return float(said == wanted)


class Contains(Pure):
    """The expected answer, or a text of one's own, somewhere in the answer."""

    kind: Literal["contains"] = "contains"
    title: ClassVar = "Contains a text"
    summary: ClassVar = "1 if the answer contains the text, else 0."

    text: str = Field(
        "", title="Text", description="What must be in the answer. Empty: the expected answer."
    )
    ignore_case: bool = Field(
        True, title="Ignore case", description="Whether upper and lower case are the same."
    )

    @property
    def compares(self) -> bool:
        """Unless it has a text of its own."""
        return not self.text

    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """1 or 0."""
        said, wanted = answer, self.text or expected.strip()
        if self.ignore_case:
            said, wanted = said.casefold(), wanted.casefold()
        return float(wanted in said)


class Regex(Pure):
    """A pattern that is found in the answer."""

    kind: Literal["regex"] = "regex"
    title: ClassVar = "Matches a pattern"
    summary: ClassVar = "1 if the regular expression is found in the answer, else 0."

    pattern: Annotated[str, AfterValidator(_compiles)] = Field(
        min_length=1,
        max_length=2000,
        examples=[r"\d"],
        title="Pattern",
        description="A regular expression, searched anywhere in the answer; ^ and $ tie it to its "
        "ends.",
    )

    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """1 or 0. Raises TimeoutError when the search takes longer than SECONDS."""
        return float(regex.search(self.pattern, answer, timeout=SECONDS) is not None)


class Length(Pure):
    """An answer of a wanted length in words."""

    kind: Literal["length"] = "length"
    title: ClassVar = "Has a length"
    summary: ClassVar = (
        "1 for an answer within the limits; less the further away it is, in proportion."
    )

    least: int = Field(0, ge=0, title="At least", description="Words an answer should have.")
    most: int = Field(
        100, ge=1, title="At most", description="Words an answer should not have more than."
    )

    @model_validator(mode="after")
    def _some_length_is_right(self) -> Length:
        if self.least > self.most:
            raise PydanticCustomError("limits", "at least is more than at most")
        return self

    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """Share of the lower limit that is there, or the upper limit as a share of the answer."""
        words = len(answer.split())
        if words < self.least:
            return words / self.least
        return min(1.0, self.most / max(1, words))
