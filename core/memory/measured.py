"""What trial steps on real rows really took: memory, time, and whether they fit. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.events import Preflight
from core.memory.bill import DRIVER, Bill, Item
from core.value import Value

if TYPE_CHECKING:  # settings stand above memory; here they are only looked at
    from core.draft import Settings

BAND = 0.02
"""What two measurements of the same steps may differ by."""


class Trial(Value):
    """One micro-batch that was trained, and the optimizer step after it."""

    rows: int
    """As many as there are in the data, also where they are joined."""
    longest: int
    """Tokens of its longest row."""
    tokens: int
    """Tokens of all its rows, without padding."""
    computed: int
    """Tokens computed, padding included."""
    seconds: float
    """Forward and backward."""
    update: float = 0.0
    """Clipping and the optimizer."""


class Measured(Value):
    """Trial steps of a run: first on its longest rows, then on usual ones.

    On a GPU memory is what torch and the driver count. On a processor `allocated_bytes` is the
    growth of the process since just before the model was loaded, and `reserved_bytes` the same:
    nobody counts tensors there, and what the system gave is what is missing elsewhere.
    """

    method: Literal["measured"] = "measured"
    fits: bool
    failure: str = ""
    """Why it does not fit, as a sentence; empty when it does."""
    hint: str = ""
    reached: str = ""
    """What was being done when the memory ran out; empty when it fits."""
    device: str
    driver: str = ""
    cuda: bool
    adaptation: str
    limit_bytes: int
    """What the device has."""
    allocated_bytes: int = 0
    reserved_bytes: int = 0
    used_bytes: int | None = None
    """What the driver says that the process, or the whole card, uses; None on a processor."""
    host_bytes: int = 0
    """Most memory of the computer that the process had."""
    seconds_per_longest_step: float | None = None
    """A whole optimizer step on micro-batches as long as the longest; None when none was taken."""
    seconds_per_median_step: float | None = None
    tokens_per_second: float | None = None
    """Without padding, in the median of real batches."""
    typical_tokens: float = 0.0
    """Tokens of a micro-batch of this run, padding included, on average."""
    longest: tuple[Trial, ...] = ()
    median: tuple[Trial, ...] = ()
    versions: dict[str, str] = Field({})
    made: float = 0.0
    """When, in seconds since 1970."""

    def eta(self, settings: Settings, tokens: float | None = None) -> float | None:
        """Seconds for all steps of a run, scores and saving left out; None without a measurement.

        `tokens` are those of an average micro-batch, padding included; by default this run's.
        """
        if not self.longest or not self.median:
            return None
        seen = self.typical_tokens if tokens is None else tokens
        long, usual = usual_trial(self.longest), usual_trial(self.median)
        more = max(1, long.computed - usual.computed)
        slope = max(0.0, long.seconds - usual.seconds) / more
        batch = max(0.0, usual.seconds + slope * (seen - usual.computed))
        return settings.steps * (settings.accumulation * batch + usual.update)

    def event(self, settings: Settings, estimate: Bill | None) -> Preflight:
        """What a run says of it."""
        return Preflight(
            fits=self.fits,
            cuda=self.cuda,
            allocated=self.allocated_bytes,
            reserved=self.reserved_bytes,
            estimated=estimate.allocated if estimate else 0,
            limit=self.limit_bytes,
            step_seconds=self.seconds_per_median_step,
            seconds=self.eta(settings),
            reached=self.reached,
        )

    def bill(self, estimate: Bill) -> Bill:
        """The bill as it was measured, for the moment the estimate names."""
        whole = self.used_bytes or self.host_bytes
        outside = max(0, whole - self.reserved_bytes)
        items = (
            Item(name="Tensors", bytes=self.allocated_bytes, note="at the moment of the peak"),
            Item(name="Allocator", bytes=self.reserved_bytes - self.allocated_bytes),
            Item(name=DRIVER, bytes=outside),
        )
        return estimate.model_copy(
            update={
                "items": tuple(item for item in items if item.bytes),
                "allocated": self.allocated_bytes,
                "reserved": self.reserved_bytes,
                "context": outside,
                "total": self.reserved_bytes + outside,
                "method": "measured",
                "band": BAND,
                "note": "",
                "host": self.host_bytes if self.cuda else 0,
            }
        )


def usual_trial(trials: tuple[Trial, ...]) -> Trial:
    """The one of middle length of time: the first of a run also pays for what is done once."""
    return sorted(trials, key=lambda trial: trial.seconds + trial.update)[(len(trials) - 1) // 2]
