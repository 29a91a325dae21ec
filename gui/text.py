"""Foreign text made safe to show: from a file, a model or an engine, it is never markup."""

from __future__ import annotations

import html
import re

from core.visible import visible

LONGEST = 2_000
"""Qt takes minutes to lay out one word of a million letters."""
_LONG_WORD = re.compile(r"\S{28}(?=\S)")


def plain(text: str, longest: int = LONGEST) -> str:
    """Cut to a showable length; control and direction marks are shown as signs."""
    short = text if len(text) <= longest else f"{text[:longest].rstrip()} …"
    return visible(short)


def wrappable(text: str) -> str:
    """The same text with invisible breaks inside long words, so that a label can wrap them."""
    return _LONG_WORD.sub("\\g<0>\u200b", plain(text))


def tip(text: str) -> str:
    """Text for a tool tip, which Qt would otherwise take for HTML."""
    return f"<span>{html.escape(plain(text))}</span>" if text else ""
