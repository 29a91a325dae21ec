"""Phrases that a model left behind in the answers."""

import re

from core.doctor.base import Check, Seen

_OPENINGS = (
    r"as an? (?:ai|artificial intelligence|large language model|language model)"
    r"[^.!?,]{0,60},(?!\s*i (?:can|won|am))\s*",
    r"(?:certainly|sure|of course|absolutely|great question)[!,.]\s*"
    r"(?:here(?:['’]s| is| are)[^.:!?\n]{0,80}[:.]\s*)?",
)
_CLOSINGS = (
    r"i hope (?:this|that) helps(?: you)?[.!]*",
    r"(?:please )?let me know if you (?:have any|need|would like)[^.!?\n]{0,80}[.!]*",
    r"is there anything else (?:i can|you)[^.!?\n]{0,60}\?",
    r"feel free to (?:ask|reach out)[^.!?\n]{0,60}[.!]*",
)
_OPENING = re.compile(rf"\s*(?:{'|'.join(_OPENINGS)})", re.I)
_CLOSING = re.compile(rf"\s*(?:{'|'.join(_CLOSINGS)})\s*\Z", re.I)
_TAIL = 200
"""Characters at the end in which a closing phrase is looked for."""


class Boilerplate(Check):
    """Answers with the usual phrases of chat services round them."""

    code = "boilerplate"
    title = "Stock phrases"
    what = "have a stock phrase of a chat service at the beginning or the end"
    why = "The model learns the phrase first, because it stands in every such answer."
    fix = "Cuts the phrase off and keeps the answer."

    def look(self, seen: Seen) -> None:
        """Compare with the answer without phrases."""
        if len(seen.messages) > 1 and self.mend(seen.answer, answer=True) != seen.answer:
            self.note(seen.line)

    def mend(self, text: str, *, answer: bool) -> str:
        """The answer alone; an answer that is nothing but phrases stays."""
        if not answer:
            return text
        opening = _OPENING.match(text[:300])
        bare = text[opening.end() :] if opening else text
        closing = _CLOSING.search(bare, max(0, len(bare) - _TAIL))
        bare = bare[: closing.start()] if closing else bare
        if bare == text or not bare.strip():
            return text
        return bare[0].upper() + bare[1:]
