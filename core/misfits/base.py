"""How a problem is written down."""

from __future__ import annotations

from core.errors import Edit, Problem


def blocker(where: str, text: str, fix: Edit | None = None) -> Problem:
    """Something that cannot work."""
    return Problem(level="blocker", where=where, text=text, fix=fix)


def warning(where: str, text: str, fix: Edit | None = None) -> Problem:
    """Something unwise."""
    return Problem(level="warning", where=where, text=text, fix=fix)


def tip(where: str, text: str, fix: Edit | None = None) -> Problem:
    """Something that could be better."""
    return Problem(level="tip", where=where, text=text, fix=fix)
