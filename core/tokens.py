"""How long the rows are in tokens, and how much of them is trained."""

from __future__ import annotations

from typing import Literal

from core.oddities import Oddities
from core.value import Value

LENGTHS = (512, 1024, 2048, 4096)
"""Maximum lengths that people choose from."""


class AtLength(Value):
    """What another maximum length would do to the training rows."""

    length: int
    cut: int
    untrained: int


class TokenFacts(Value):
    """Counted by the engine's own encoding at one maximum length, never guessed.

    Of a pair both conversations are counted, each with a length of its own.
    """

    max_length: int
    rows: int
    heldout: int = 0
    room: int = 0
    """Tokens kept free behind each question for an answer that the model writes itself: rows are
    questions then, of which nothing is learned, and those without room are left out."""
    tokens: int = 0
    """All tokens of the training rows after cutting."""
    trained: int = 0
    """Tokens that are learned, after cutting."""
    median: int = 0
    p95: int = 0
    p99: int = 0
    longest: int = 0
    cut: int = 0
    """Training rows that are longer than `max_length`."""
    untrained: int = 0
    """Rows without a single trained token at this length: they teach nothing."""
    untrained_lines: tuple[int | str, ...] = ()
    """Where they stand, the first twenty: lines, or file:line behind the first dataset of a mix."""
    ended: int = 0
    """Rows whose last answer is whole, so that its end is learned."""
    end_token: str = ""
    """The last token that is learned, as text: the sign to stop."""
    at_lengths: tuple[AtLength, ...] = ()
    asks_alike: bool = True
    """Whether a question ends in use as it does in training."""
    oddities: Oddities = Oddities()
    """What strangers may have put into rows and template."""
    template_note: str = ""
    """What was done to the chat template so that answers can be told from questions."""

    @property
    def mean(self) -> float:
        """Average tokens of a training row, or of both sides of a pair."""
        return self.tokens / self.rows if self.rows else 0.0


CHARACTERS_PER_TOKEN = 3.6
"""English text under common BPE vocabularies; used only until the engine has counted."""


def token_guess(characters: float) -> int:
    """Tokens of a row with so many characters, its template included."""
    return round(characters / CHARACTERS_PER_TOKEN) + 12


def guess(rows: int, mean_chars: float, max_chars: int, max_length: int) -> TokenFacts:
    """A first figure from characters, for the second before the real count is there."""
    mean = min(max_length, token_guess(mean_chars))
    longest = token_guess(max_chars)
    return TokenFacts(
        max_length=max_length,
        rows=rows,
        tokens=mean * rows,
        trained=mean * rows // 2,
        median=mean,
        p95=min(longest, 2 * mean),
        p99=longest,
        longest=longest,
    )


PieceKind = Literal["trained", "context", "cut", "expected"]
AnswerSide = Literal["", "chosen", "rejected"]
"""Which answer of a pair; empty where there is only one."""


class Piece(Value):
    """One token as text: learned, only read, or lost to the maximum length.

    An expected answer is one piece, which the model never sees.
    """

    text: str
    kind: PieceKind


class PreviewRow(Value):
    """One row exactly as the model will see it; a pair is shown as two."""

    line: int
    source: str = ""
    """Name of the dataset, when it is not the first of a mix."""
    answer: AnswerSide = ""
    pieces: tuple[Piece, ...]
    beyond: int = 0
    """Tokens behind these, of which there were too many to show."""


class Preview(Value):
    """The engine's reply to "what will be learned?"."""

    tokens: TokenFacts
    rows: tuple[PreviewRow, ...] = ()
