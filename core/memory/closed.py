"""The memory of a training step as a formula: instant, from shapes alone.

The peak is the highest of a few moments. At each of them states, activations and the loss are
counted by the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.adapt import Adaptation
from core.memory.bill import Bill, Item, Phase
from core.memory.layers import Layer, count_layer
from core.memory.loss import Loss, count_loss
from core.memory.reserve import slack
from core.memory.setup import Setup
from core.memory.sharding import Share, Units, share
from core.memory.states import count_states
from core.memory.widths import Widths, widths
from core.models import ModelFacts

CUDA_CONTEXT = 480_000_000
"""What the driver takes for itself since CUDA 11.7: 0.15 GB on a T4, up to 0.7 GB elsewhere."""
ENGINE_HOST = 1_100_000_000
"""Resident memory of the training libraries on the host."""
WORKSPACES = 2 * 8_519_680
"""cuBLAS, once for the thread of forward and once for that of backward
(aten/src/ATen/cuda/CublasHandlePool.cpp)."""
KNOWN = ("Llama", "Qwen2For", "Qwen3For", "Mistral")
"""Families whose layers are counted tensor by tensor."""
SURE, UNSURE, HOST = 0.03, 0.15, 0.3


@dataclass(frozen=True, slots=True)
class Moment:
    """What is there, beside the states that are always there."""

    phase: Phase
    activations: int = 0
    loss: int = 0
    gradients: int = 0
    update: int = 0
    exchange: int = 0
    """What comes from other GPUs for a while, or goes to them."""

    @property
    def total(self) -> int:
        """All of it."""
        held = self.activations + self.loss + self.gradients
        return held + self.update + self.exchange


@dataclass(frozen=True, slots=True)
class Step:
    """The counted parts of one step."""

    model: ModelFacts
    setup: Setup
    width: Widths
    full: bool
    share: Share
    layer: Layer
    loss: Loss

    def moments(self) -> Iterator[Moment]:
        """Every moment at which most could be needed."""
        if self.share.units:
            yield from self._shared_moments(self.share.units)
            return
        gradients = self.share.states.gradients
        held = gradients if self.setup.accumulation > 1 else 0
        saved = self.saved()
        casts = self.model.layers * self.layer.casts
        yield Moment("load")
        yield Moment("forward", saved + casts, self.loss.forward, held)
        yield Moment("loss", saved + self.casts(), self.loss.backward, held)
        yield Moment("backward", self._last(), self.loss.kept, held or self._head())
        yield Moment("backward", self._first(), self.loss.kept, max(held, gradients - self._ends()))
        yield Moment("backward", self.layer.checkpoint + self._embedding(), 0, gradients)
        yield Moment("optimizer", 0, 0, gradients, self.share.states.update)

    def _shared_moments(self, units: Units) -> Iterator[Moment]:
        """The same with FSDP, in the order of torch's fully_shard."""
        held = units.trained if self.setup.accumulation > 1 else 0
        yield from self._shared_forward(units, held)
        yield from self._shared_backward(units, held)
        yield Moment("optimizer", 0, 0, self.share.states.gradients, self.share.states.update)

    def _shared_forward(self, units: Units, held: int) -> Iterator[Moment]:
        """Coming to a layer: the buffer of the one before, its own buffer, and the layer."""
        layer, root, saved = units.layer, units.root, self.saved()
        one = self.layer.checkpoint if self.setup.checkpointing else self.layer.saved
        yield Moment("forward", self._inputs(), 0, held, 0, 2 * (root + layer))
        yield Moment("forward", saved - one, 0, held, 0, root + 3 * layer)
        yield Moment("forward", saved, self.loss.forward, held, 0, root + layer)
        yield Moment("loss", saved, self.loss.backward, held + units.head, 0, root + layer)

    def _shared_backward(self, units: Units, held: int) -> Iterator[Moment]:
        """In a layer: it, the buffer of the next one, and gradients of the last on their way."""
        layer, root, head, kept = units.layer, units.root, units.head, self.loss.kept
        going = layer if self.full else 0
        own = 0 if self.model.experts else going  # those of experts are in the layer's peak
        divided = self.share.states.gradients
        around = divided * root * self.full // max(1, units.trained)
        turned = divided - around - divided * going // max(1, units.trained)
        last, first = self._last(), self._first()
        yield Moment("backward", last, kept, held + head + own, 0, root + 2 * layer)
        yield Moment("backward", first, kept, turned + head + own, 0, root + 2 * layer + going)
        if self.full:
            tables = head * (3 if self.model.tied else 2)
            yield Moment("backward", 0, 0, divided - around + tables, 0, root + layer)
            yield Moment("backward", 0, 0, divided + head, 0, root + root // self.setup.gpus)

    def saved(self) -> int:
        """Activations when the last layer is done."""
        one = self.layer.checkpoint if self.setup.checkpointing else self.layer.saved
        return self.model.layers * one + self._inputs()

    def casts(self) -> int:
        """Casts of weights that wait for backward; recomputed layers make their own."""
        return 0 if self.setup.checkpointing else self.model.layers * self.layer.casts

    def spare(self, peak: Moment) -> int:
        """What the allocator holds beyond what is needed at the peak."""
        table = self.model.vocab * self.model.hidden * self.width.rest
        return slack(
            self.setup, peak.phase, self.layer.peak, table, full=self.full, tied=self.model.tied
        )

    def _last(self) -> int:
        """The last layer is differentiated, before all others."""
        if self.setup.checkpointing:
            return self.saved() + self.layer.checkpoint + self.layer.peak + self.layer.casts
        return self.saved() + self.casts() + self.layer.peak - self.layer.saved

    def _first(self) -> int:
        """The first layer is differentiated, when all other gradients are there."""
        return 2 * self.layer.checkpoint + self.layer.peak + self.layer.casts + self._inputs()

    def _inputs(self) -> int:
        """Masks, and sines and cosines of positions."""
        setup, square = self.setup, self.setup.rows * self.setup.length * self.setup.length
        mask = self.width.stream if setup.attention == "eager" else 1 if setup.padded else 0
        turns = 2 * setup.length * self.model.head_dim * self.width.stream
        return square * mask + turns

    def _table(self) -> int:
        return self.model.vocab * self.model.hidden * self.width.trained

    def _head(self) -> int:
        """The gradient of the output layer, the first to be there."""
        return min(self._table(), self.share.states.gradients) if self.full else 0

    def _ends(self) -> int:
        """Gradients that are not there yet when the first layer is differentiated."""
        table = 0 if self.model.tied or not self.full else self._table()
        divisor = max(1, self.model.layers)
        gradients = self.share.states.gradients
        return min(gradients, table + (gradients - table) // divisor)

    def _embedding(self) -> int:
        """A tied table gets a second gradient, from its lookups; their sum is a third."""
        return 2 * self._table() if self.full and self.model.tied else 0


def estimate(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, context_bytes: int = CUDA_CONTEXT
) -> Bill:
    """The bill of one step on one device; `context_bytes` is what its driver takes."""
    step = _count(model, adaptation, setup)
    peak = max(step.moments(), key=lambda moment: moment.total)
    states = step.share.states
    fixed = states.weights + states.adapters + states.optimizer + step.share.gathered
    workspaces = WORKSPACES if setup.cuda else 0
    allocated = fixed + peak.total + workspaces
    spare = step.spare(peak) if setup.cuda else 0
    context = context_bytes if setup.cuda else ENGINE_HOST
    return Bill(
        items=tuple(_items(step, adaptation, peak, workspaces + spare, context)),
        allocated=allocated,
        reserved=allocated + spare,
        context=context,
        total=allocated + spare + context,
        phase=peak.phase,
        band=_band(model, setup),
        host=step.share.host,
    )


def _count(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> Step:
    width, full = widths(adaptation, setup), adaptation.kind == "full"
    states = count_states(model, adaptation, setup, width)
    return Step(
        model=model,
        setup=setup,
        width=width,
        full=full,
        share=share(states, model, adaptation, setup, width),
        layer=count_layer(model, adaptation, setup, width),
        loss=count_loss(model, setup, width, full=full),
    )


def _items(
    step: Step, adaptation: Adaptation, peak: Moment, workspaces: int, context: int
) -> Iterator[Item]:
    """What is there at the peak; what is not there then is left out."""
    states, setup = step.share.states, step.setup
    saved = ", recomputed" if setup.checkpointing else ""
    shape = f"{setup.rows} x {setup.length:,} tokens{saved}"
    if adaptation.adapts_experts(step.model):
        shape += ", adapted experts a second time"
    stored = "trained" if step.full else "4-bit NF4" if adaptation.quantised else "frozen"
    if adaptation.quantised and step.model.experts:
        stored += f", experts stay in {8 * step.width.rest} bits"
    driver = "context" if setup.cuda else "imported libraries"
    for name, size, note in (
        ("Weights", states.weights, stored),
        ("Adapter", states.adapters, "weights in 32 bits"),
        ("Optimizer", states.optimizer + peak.update, setup.optimizer.replace("_", " ")),
        ("Gradients", peak.gradients, "at the moment of the peak"),
        ("Activations", peak.activations, shape),
        ("Output layer", peak.loss, "loss over the vocabulary"),
        ("Exchange between GPUs", step.share.gathered + peak.exchange, setup.sharding),
        ("Allocator", workspaces, "workspaces and unused parts of segments"),
        ("Driver and libraries", context, driver),
    ):
        if size:
            yield Item(name=name, bytes=size, note=note)


def _band(model: ModelFacts, setup: Setup) -> float:
    """Sharding, experts and families that nobody counted are less sure; pages of a host least."""
    if not setup.cuda:
        return HOST
    known = model.architecture.startswith(KNOWN) and not model.experts
    known = known and "Moe" not in model.architecture
    return SURE if known and setup.sharding == "none" and setup.objective == "sft" else UNSURE
