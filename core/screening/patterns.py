"""Regular expressions of strangers, judged before anything matches with them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import regex

LONGEST = 20_000
PATIENCE = 0.5
"""Seconds that matching one name may take."""
FEW = 3
"""So many times a group may be repeated that repeats something itself."""
_COUNTED = re.compile(r"\{(\d*)(,?)(\d*)\}")


def fault(pattern: str, *, backtracks: bool = False) -> str:
    """Why matching this pattern may never come to an end; empty when nothing speaks against it.

    A repeated group with a repetition inside takes exponential time on a text that just misses.
    In Python's engine, which `backtracks` without a limit, so do choices inside; there brackets in
    a [class] do not nest either.
    """
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    if _Scan(pattern, backtracks=backtracks).repeats_repetition():
        return "repeats what is repeated, which can take for ever"
    return ""


def repetitions(pattern: str) -> int:
    """How many parts of a pattern repeat without a small bound, at least."""
    scan = _Scan(pattern, backtracks=True)
    scan.repeats_repetition()
    return scan.unbounded


class _Scan:
    """One pass from left to right, with a flag per open group: whether it varies inside."""

    def __init__(self, pattern: str, *, backtracks: bool) -> None:
        self.pattern, self.backtracks = pattern, backtracks
        self.place, self.unbounded = 0, 0

    def repeats_repetition(self) -> bool:
        open_groups, closed = [False], False
        while self.place < len(self.pattern):
            sign = self.pattern[self.place]
            if sign == ")":
                closed = open_groups.pop() if len(open_groups) > 1 else False
                open_groups[-1] |= closed
                self.place += 1
                continue
            if repeated := self._repetition():
                if closed and repeated > FEW:
                    return True
                self.unbounded += repeated > FEW
                open_groups[-1] |= repeated > 1 or self.backtracks
                continue
            open_groups[-1] |= self.backtracks and sign == "|" and len(open_groups) > 1
            closed = False
            self._step(open_groups)
        return False

    def _repetition(self) -> int:
        """Pass a repetition that stands here; how often it may repeat, 0 when none is here."""
        sign = self.pattern[self.place]
        if sign in "*+?":
            self.place += 1
            return 1 if sign == "?" else FEW + 1
        match = _COUNTED.match(self.pattern, self.place)
        if not match or match[0] == "{}":
            return 0
        self.place = match.end()
        least, comma, most = match.groups()
        return FEW + 1 if comma and not most else max(1, int((most or least or "1")[:9]))

    def _step(self, open_groups: list[bool]) -> None:
        sign = self.pattern[self.place]
        if sign == "\\":
            self.place += 2
        elif sign == "[":
            self._pass_class()
        else:
            if sign == "(":
                open_groups.append(False)
                self.place += self.pattern.startswith("(?", self.place)
            self.place += 1

    def _pass_class(self) -> None:
        """A bracket right after the start of a [class] stands for itself."""
        self.place += 2 if self.pattern.startswith("[^", self.place) else 1
        self.place += self.pattern.startswith("]", self.place)
        depth = 1
        while self.place < len(self.pattern) and depth:
            sign = self.pattern[self.place]
            depth += (sign == "[" and not self.backtracks) - (sign == "]")
            self.place += 2 if sign == "\\" else 1


def matching(pattern: str, names: Iterable[str]) -> set[str]:
    """Those names that a pattern matches as a whole.

    Raises ValueError for what is no pattern, or takes longer than PATIENCE.
    """
    try:
        made = regex.compile(pattern)
        return {name for name in names if made.fullmatch(name, timeout=PATIENCE)}
    except regex.error as error:
        raise ValueError(f"is no regular expression ({error})") from error
    except TimeoutError as error:
        raise ValueError("takes too long") from error
