"""What a dataset of this size can teach."""

from __future__ import annotations

_TABLE = (
    (100, "too few to rely on", "Collect at least 100 rows before you judge a result."),
    (1_000, "a format or a style", "Enough for how to answer, not for what to know."),
    (10_000, "a domain", "Enough for the terms and habits of one field."),
    (100_000, "a behaviour", "Enough to change how the model acts throughout."),
)
_MORE = ("the most that fine-tuning gives", "From here on quality counts more than further rows.")


def verdict(rows: int) -> str:
    """What the number of usable rows is good for."""
    for limit, good_for, advice in _TABLE:
        if rows < limit:
            return f"{rows:,} rows: {good_for}. {advice}"
    return f"{rows:,} rows: {_MORE[0]}. {_MORE[1]}"
