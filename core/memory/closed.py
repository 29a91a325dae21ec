"""The memory of a training step as a formula: instant, from shapes alone.

The peak is the highest of a few moments. At each of them states, activations and the loss are
counted by the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.adapt import Adaptation, Bottleneck, Freeze
from core.memory.bill import DRIVER, Bill, Item, Phase
from core.memory.goals import GOALS, Goal, frozen, headless, rollout
from core.memory.layers import Layer, count_layer
from core.memory.loss import Loss, count_divergence, count_loss, count_score
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
EAGER = ("Gemma2", "GptOss", "GPTJ", "Mpt")
"""Families that write their scores out, because transformers teaches them nothing else."""
CHECKED = ("sft", "dpo")
"""Objectives whose bills were compared with traced steps."""
STORED = {"own": "frozen", "nf4": "4-bit NF4", "fp4": "4-bit FP4", "int8": "8-bit"}
SURE, UNSURE, HOST = 0.03, 0.15, 0.3


@dataclass(frozen=True, slots=True)
class Moment:
    """What is there, beside the states that are always there."""

    phase: Phase
    activations: int = 0
    loss: int = 0
    gradients: int = 0
    update: int = 0
    answers: int = 0
    """What generating takes."""
    exchange: int = 0
    """What comes from other GPUs for a while, or goes to them."""

    @property
    def total(self) -> int:
        """All of it."""
        held = self.activations + self.loss + self.gradients + self.answers
        return held + self.update + self.exchange


@dataclass(frozen=True, slots=True)
class Step:
    """The counted parts of one step; `setup` has the rows that the model reads."""

    goal: Goal
    model: ModelFacts
    setup: Setup
    width: Widths
    full: bool
    head: bool
    """Whether the output layer has gradients."""
    depth: int
    """Layers that backward passes through."""
    share: Share
    layer: Layer
    loss: Loss
    frozen: int
    answers: int

    def moments(self) -> Iterator[Moment]:
        """Every moment at which most could be needed."""
        if self.share.units:
            yield from self._shared_moments(self.share.units)
            return
        gradients = self.share.states.gradients
        held = gradients if self.setup.accumulation > 1 else 0
        saved = self.saved()
        casts = self.depth * self.layer.casts
        yield Moment("load")
        yield Moment("generation", answers=self.answers)
        yield Moment("forward", saved + casts, self.loss.forward, held)
        if self.goal.looks_back and not self.full:
            waiting = saved + self.casts() + self.layer.reading
            yield Moment("forward", waiting, self.loss.saved, held)
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
        return self.depth * one + self._inputs()

    def casts(self) -> int:
        """Casts of weights that wait for backward; recomputed layers make their own."""
        return 0 if self.setup.checkpointing else self.depth * self.layer.casts

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
        trained = self.head and not self.goal.scores
        return min(self._table(), self.share.states.gradients) if trained else 0

    def _ends(self) -> int:
        """Gradients that are not there yet when the first layer is differentiated."""
        table = 0 if self.model.tied or not self.head else self._table()
        divisor = max(1, self.depth)
        gradients = self.share.states.gradients
        return min(gradients, table + (gradients - table) // divisor)

    def _embedding(self) -> int:
        """A tied table gets a second gradient, from its lookups; their sum is a third."""
        return 2 * self._table() if self.head and self.model.tied else 0


def estimate(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, context_bytes: int = CUDA_CONTEXT
) -> Bill:
    """The bill of one step on one device; `context_bytes` is what its driver takes."""
    if model.architecture.startswith(EAGER):
        setup = setup.model_copy(update={"attention": "eager"})
    longer = setup.length + adaptation.virtual_tokens
    setup = setup.model_copy(update={"length": longer})
    step = _count(model, adaptation, setup)
    peak = max(step.moments(), key=lambda moment: moment.total)
    states = step.share.states
    fixed = states.weights + states.adapters + states.optimizer + step.share.gathered + step.frozen
    workspaces = WORKSPACES if setup.cuda else 0
    allocated = fixed + peak.total + workspaces
    spare = step.spare(peak) if setup.cuda else 0
    context = context_bytes if setup.cuda else ENGINE_HOST
    doubts = [(SURE, ""), *_doubts(model, adaptation, setup)]
    return Bill(
        items=tuple(_items(step, adaptation, peak, workspaces + spare, context)),
        allocated=allocated,
        reserved=allocated + spare,
        context=context,
        total=allocated + spare + context,
        phase=peak.phase,
        band=max(band for band, _ in doubts),
        note="; ".join(filter(None, (why for _, why in doubts))),
        host=step.share.host + states.paged,
    )


def _count(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> Step:
    goal, full = GOALS[setup.objective], adaptation.trains_base
    width = widths(adaptation, setup)
    trained = headless(model) if goal.scores else model
    read = goal.reads(setup)
    states = count_states(trained, adaptation, read, width)
    return Step(
        goal=goal,
        model=trained,
        setup=read,
        width=width,
        full=full,
        head=adaptation.trains_head(trained),
        depth=adaptation.reaches(trained),
        share=share(states, trained, adaptation, read, width),
        layer=count_layer(trained, adaptation, read, width),
        loss=_count_loss(goal, trained, read, width, full=adaptation.trains_head(trained)),
        frozen=frozen(goal, model, setup, width, full=full),
        answers=rollout(goal, model, setup, width),
    )


def _count_loss(goal: Goal, model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> Loss:
    count = count_score if goal.scores else count_divergence if goal.compares else count_loss
    return count(model, setup, width, full=full)


def _items(
    step: Step, adaptation: Adaptation, peak: Moment, workspaces: int, context: int
) -> Iterator[Item]:
    """What is there at the peak; what is not there then is left out."""
    states, setup = step.share.states, step.setup
    for name, size, note in (
        ("Weights", states.weights, _stored(step, adaptation)),
        ("Adapter", states.adapters, "weights in 32 bits"),
        ("Optimizer", states.optimizer + peak.update, setup.optimizer.replace("_", " ")),
        ("Gradients", peak.gradients, "at the moment of the peak"),
        ("Activations", peak.activations, _shape(step, adaptation)),
        ("Output layer", peak.loss, "scores" if step.goal.scores else "loss over the vocabulary"),
        ("Other models", step.frozen, step.goal.beside(full=step.full)),
        ("Generated answers", peak.answers, "keys, values and logits"),
        ("Exchange between GPUs", step.share.gathered + peak.exchange, setup.sharding),
        ("Allocator", workspaces, "workspaces and unused parts of segments"),
        (DRIVER, context, "context" if setup.cuda else "imported libraries"),
    ):
        if size:
            yield Item(name=name, bytes=size, note=note)


def _stored(step: Step, adaptation: Adaptation) -> str:
    format = (
        "partly trained"
        if adaptation.partly
        else "trained"
        if step.full
        else STORED[adaptation.stored]
    )
    if adaptation.quantised and step.model.experts:
        format += f", experts stay in {8 * step.width.rest} bits"
    return format


def _shape(step: Step, adaptation: Adaptation) -> str:
    setup, again = step.setup, adaptation.adapts_experts(step.model)
    saved = ", recomputed" if setup.checkpointing else ""
    experts = ", adapted experts a second time" if again else ""
    return f"{setup.rows} x {setup.length:,} tokens{saved}{experts}"


def _doubts(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> Iterator[tuple[float, str]]:
    """How far off the figure may be, and why it is less sure than usual."""
    if not setup.cuda:
        yield HOST, "on a processor unused pages and the allocator blur the picture"
    if isinstance(adaptation, Bottleneck | Freeze):
        yield (
            UNSURE,
            "this method was compared with neither traces nor measurements; only weights and "
            "states are exact",
        )
    elif not adaptation.traced or adaptation.stored == "int8":
        yield (
            UNSURE,
            "of this method only weights and states are exact; the rest is rough",
        )
    if model.experts:
        yield UNSURE, "mixtures of experts were compared with traces, not with measurements"
    elif not model.architecture.startswith(KNOWN):
        yield UNSURE, "layers of this family are taken to be like Llama's"
    if setup.sharding.startswith("zero") or setup.offload:
        yield UNSURE, "ZeRO and offloading were compared with neither traces nor measurements"
    elif setup.sharding != "none":
        yield UNSURE, "shares of several GPUs were compared with traces, not with measurements"
    if setup.optimizer.startswith(("galore", "apollo")):
        yield UNSURE, "steps of this optimizer were compared with neither traces nor measurements"
    if setup.objective not in CHECKED:
        yield UNSURE, "this objective was compared with neither traces nor measurements"
