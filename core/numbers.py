"""Numbers as people type and read them, the same in every locale.

Qt's spin boxes read "2e-4" as 24 and a German "0.0002" as 2 without a word; a learning rate
must never pass through them.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DIGITS = {ord(c): str(i % 10) for i, c in enumerate("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹")}
_DIGITS |= {ord("٫"): ".", ord("−"): "-"}


def parse_number(text: str) -> float:
    """Read `2e-4`, `0.0002` and `0,0002` alike; group separators are refused, never guessed.

    Raises ValueError with a sentence for the user.
    """
    plain = text.strip().translate(_DIGITS)
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{text.strip()!r} is not a number. Write it like 2e-4, 0.0002 or 0,0002.")
    return float(plain.replace(",", "."))


def show_number(value: float) -> str:
    """The shortest plain spelling that reads back as the same number."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return repr(round(value, 12)).removesuffix(".0")
    mantissa, exponent = f"{value:.12e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def show_bytes(count: float) -> str:
    """Bytes in the unit that cards and disks are sold in (GB = 1e9 bytes)."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def show_duration(seconds: float) -> str:
    """A length of time as a person says it: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 100:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def show_count(count: float) -> str:
    """A large count in short: "4.2 M", "812 k", "950"."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f}"


def percent(share: float, digits: int = 0) -> str:
    """ "12 %"."""
    return f"{100 * share:.{digits}f} %"
