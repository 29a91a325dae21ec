"""Rows far longer or shorter than the others."""

from array import array

from core.doctor.base import Ask, Check, Seen
from core.findings import Survey

ENOUGH = 20
"""Rows from which on there is a usual length."""
FENCE = 3.0
"""Widths of the middle half beyond which a length is an outlier (Tukey's outer fence)."""
LEAST_WIDTH = 0.4
"""Narrowest middle half, in powers of e: rows of one length are no reason to blame the next."""


class Lengths(Check):
    """Outliers in the number of characters, on a logarithmic scale."""

    code = "length_outliers"
    title = "Unusual lengths"
    what = "are far longer or shorter than the others"
    why = (
        "Long rows cost memory and are cut off, very short ones are often mistakes of an export. "
        "Look at them."
    )

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._lengths, self._numbers = array("L"), array("q")

    def look(self, seen: Seen) -> None:
        """Remember the length."""
        self._lengths.append(sum(len(message["content"]) for message in seen.messages))
        self._numbers.append(seen.line)

    def conclude(self, survey: Survey) -> None:
        """Compare with the middle half."""
        import numpy as np

        if len(self._lengths) < ENOUGH:
            return
        sizes = np.log1p(np.array(self._lengths, np.float64))
        low, high = np.percentile(sizes, (25, 75))
        margin = FENCE * max(high - low, LEAST_WIDTH)
        odd = (sizes < low - margin) | (sizes > high + margin)
        self.lines = array("q", np.array(self._numbers, np.int64)[odd].tolist())
