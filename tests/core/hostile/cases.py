"""The register of everything a stranger may send that must do no harm.

A case makes its files in a folder, together with a payload that would leave a marker, and names
what of the product opens them and words of the refusal. Add cases to a list beside the others and
the list to CASES; every case is then tried by test_hostile.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where a case may write: its folder, what lies beside it, and the marker of its payload."""

    folder: Path
    outside: Path
    marker: Path

    @property
    def code(self) -> str:
        """A program that leaves the marker."""
        return f"open({str(self.marker)!r}, 'w').close()\n"


class Case(NamedTuple):
    """One hostile folder or file."""

    name: str
    make: Callable[[Place], None]
    open: Callable[[Path], object]
    """The function of the product that a user's choice of the folder leads to."""
    words: str
    """Part of the refusal."""
