"""What a dataset of this size can teach."""

from __future__ import annotations

from core.numbers import show_count

_TABLE = (
    (100, "too few to rely on", "Collect at least 100 rows before you judge a result."),
    (1_000, "a format or a style", "Enough for how to answer, not for what to know."),
    (10_000, "a domain", "Enough for the terms and habits of one field."),
    (100_000, "a behaviour", "Enough to change how the model acts throughout."),
)
_MORE = ("the most that fine-tuning gives", "From here on quality counts more than further rows.")


SMALL_MODEL, LARGE_MODEL = 1e9, 7e9
"""Parameters below which a model needs more rows than usual, and from which it needs fewer."""


def verdict(rows: int, parameters: int = 0) -> str:
    """What the number of usable rows is good for; of a model, what its size changes about that."""
    good_for, advice = next(
        ((good_for, advice) for limit, good_for, advice in _TABLE if rows < limit), _MORE
    )
    return f"{rows:,} rows: {good_for}. {advice}{_by_model(parameters)}"


def _by_model(parameters: int) -> str:
    if not parameters:
        return ""
    size = show_count(parameters)
    if parameters < SMALL_MODEL:
        return f" A model of only {size} parameters knows little beforehand and needs more rows."
    if parameters >= LARGE_MODEL:
        return f" A model of {size} parameters knows much already and makes do with fewer rows."
    return f" That is the rule for a model of {size} parameters too."
