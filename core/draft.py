"""What a plan is made of: values chosen automatically, the numbers of a run, what is known."""

from __future__ import annotations

from typing import Literal

from core.machine import Machine
from core.memory import Bill, Item
from core.memory.choice import Fits, verdict
from core.memory.correction import Corrections
from core.memory.disk import DiskNeed
from core.memory.setup import Optimizer
from core.memory.traced import Exact
from core.mixing import Drawn, Looked
from core.models import ModelFacts
from core.tokens import TokenFacts
from core.value import Value

Kernels = Literal["liger", "none"]


class Decision(Value):
    """A value chosen automatically, and the reason."""

    name: str
    value: str
    because: str


class Settings(Value):
    """The concrete numbers an engine runs with; no `None` and no "auto" is left."""

    device: str
    bf16: bool
    learning_rate: float
    max_length: int
    micro_batch: int
    accumulation: int
    checkpointing: bool
    optimizer: Optimizer = "adamw"
    kernels: Kernels = "none"
    """Who computes norms, rotations and gates of layers; none: transformers itself."""
    packing: bool = False
    """Whether short rows are joined to full sequences before training."""
    padding_free: bool = False
    """Whether the rows of a batch are joined to one, instead of padded to the longest."""
    epochs: float = 3.0
    steps: int = 1
    warmup_steps: int = 0
    every: int = 1
    save_every: int = 1


class Draft(Value):
    """What a recipe comes to on a machine, before anybody judged it."""

    bill: Bill | None = None
    limit: int = 0
    """Memory of the device the run will use, in bytes."""
    device: str = ""
    parameters: int = 0
    trainable: int = 0
    rows: int = 0
    heldout: int = 0
    tokens: int | None = None
    """Tokens that all steps together read."""
    seconds: float | None = None
    settings: Settings | None = None
    disk: DiskNeed | None = None
    decisions: tuple[Decision, ...] = ()
    measure: bool = False
    """Whether the run begins with trial steps, and ends at once if they do not fit."""
    sources: tuple[Drawn, ...] = ()
    """Every dataset with its hash and the number of rows drawn."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The parts of the memory bill."""
        return self.bill.items if self.bill else ()

    @property
    def needed(self) -> int:
        """The whole memory bill in bytes."""
        return self.bill.total if self.bill else 0

    @property
    def fit(self) -> Fits | None:
        """Whether the device has room for the bill; None while either is unknown."""
        if self.bill is None or not self.limit:
            return None
        return verdict(self.bill.total, self.limit, self.bill.band)


class Facts(Looked):
    """What is known of the outside world; None means not looked at yet."""

    machine: Machine
    model: ModelFacts | None = None
    tokens: TokenFacts | None = None
    exact: Exact | None = None
    """The last traced step, whichever it was."""
    corrections: Corrections = Corrections()
    """What earlier measurements on this computer say about estimates."""
