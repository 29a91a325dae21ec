"""Memory of one transformer layer: what it keeps for backward, and what backward adds.

Counted tensor by tensor in the traces of Llama and Qwen2 layers of transformers 5 (RMSNorm, gated
feed-forward, rotary attention); that only what backward reads is kept is the rule of Korthikanti
et al. 2022 (arXiv 2205.05198). Sizes are bytes, or bytes per token where that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.adapt import Adaptation, Bottleneck
from core.adapt.targets import ATTENTION
from core.memory.experts import count_experts
from core.memory.setup import Setup
from core.memory.widths import Widths
from core.models import ModelFacts

NORMED_HEADS = ("Qwen3", "Gemma3", "Olmoe")
"""Families that norm queries and keys."""
_NORM = 8
"""Per token: the inverse root that each of the two norms keeps, in 32 bits."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer and one micro-batch."""

    saved: int
    """Kept from forward to backward when nothing is recomputed."""
    casts: int
    """Copies of its trained weights under autocast."""
    peak: int
    """Most that is there while it is differentiated, with all it saved."""
    checkpoint: int
    """Its input, which is all that is kept when it is recomputed."""
    reading: int
    """Most that is there in a forward pass that keeps nothing, adapters off."""


class Counter:
    """Counts the tensors of a layer; every method gives bytes per token unless it says else."""

    def __init__(
        self, model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths
    ) -> None:
        self.model, self.setup, self.width = model, setup, width
        self.full: bool = adaptation.trains_base
        self.quantised = adaptation.quantised
        self.rank = adaptation.widest
        self.hidden = model.hidden
        self.queries = model.heads * model.head_dim
        self.keys = model.kv_heads * model.head_dim
        self.wide = _dense_width(model)
        self.targets = adaptation.adapted(model)
        self.bottleneck = adaptation if isinstance(adaptation, Bottleneck) else None

    @property
    def tokens(self) -> int:
        """Tokens of the micro-batch."""
        return self.setup.rows * self.setup.length

    def adapts(self, *names: str) -> bool:
        """Whether one of these layers has an adapter."""
        return any(name in self.targets for name in names)

    def norm(self) -> int:
        """One norm: its input in 32 bits; when it is trained, also what it made of it."""
        return self.hidden * (4 + (self.width.stream if self.full else 0))

    def attention(self) -> int:
        """Queries, keys, values, and the result with its log-sums; softmax is `scores`."""
        kernel = _kernel(self.setup, self.width)
        keys = self.keys if kernel in ("flash", "cpu") else self.queries
        kept = self.width.math * (self.queries + 2 * keys)
        if kernel != "eager":
            kept += self.width.math * self.queries + 4 * self.model.heads
        if self.model.architecture.startswith(NORMED_HEADS):
            kept += 4 * (self.queries + self.keys)
        return kept

    def attention_inputs(self) -> int:
        """Inputs of the four matrices, as trained matrices or adapters keep them."""
        if self.width.copy:
            return self._copies(wide=False)
        eager = _kernel(self.setup, self.width) == "eager"
        if self.full:
            casts = 3 if self.width.math != self.width.stream else 1
            return self.width.math * (casts * self.hidden + self.queries * eager)
        first = self.hidden * self.adapts("q_proj", "k_proj", "v_proj")
        out = self.queries * (eager and self.adapts("o_proj"))
        return self.width.stream * first + self.width.math * out + self._low(wide=False)

    def feed_forward(self) -> int:
        """The gate before and after its function, and what it is multiplied with."""
        return 3 * self.width.math * self.wide

    def feed_forward_inputs(self) -> int:
        """Inputs of its matrices."""
        if self.width.copy:
            return self._copies(wide=True)
        if self.full:
            casts = 2 if self.width.math != self.width.stream else 1
            return self.width.math * (casts * self.hidden + self.wide)
        first = self.hidden * self.adapts("gate_proj", "up_proj")
        down = self.wide * self.adapts("down_proj")
        return self.width.stream * first + self.width.math * down + self._low(wide=True)

    def _copies(self, *, wide: bool) -> int:
        inputs = [shape[1] for name, shape in self.targets.items() if _is_wide(name) == wide]
        return self.width.copy * sum(inputs) + self._low(wide=wide)

    def _low(self, *, wide: bool) -> int:
        count = sum(_is_wide(name) == wide for name in self.targets)
        return self.width.low * self.rank * count

    def bottlenecks(self) -> int:
        """What each keeps: its input, the narrow result before and after its function."""
        if self.bottleneck is None:
            return 0
        one = self.hidden * (self.width.copy or self.width.math) + 2 * self.bottleneck.size * (
            self.width.low
        )
        return len(self.bottleneck.parts) * one

    def scores(self) -> int:
        """Whole bytes that grow with the square of the length: softmax of eager, mask as bias."""
        square = self.setup.rows * self.setup.length * self.setup.length
        match _kernel(self.setup, self.width):
            case "eager":
                low = self.width.math if self.width.math != 4 else 0
                return square * self.model.heads * (4 + low)
            case "efficient" if self.setup.padded:
                return square * self.width.math
        return 0

    def attending(self) -> int:
        """Whole bytes that backward of attention adds (core/engine/workspaces.py)."""
        math, tokens = self.width.math, self.tokens
        kernel = _kernel(self.setup, self.width)
        if kernel == "eager":
            return self._softening()
        wide = self.queries if kernel == "efficient" or self.keys != self.queries else 0
        sums = 4 * self.queries if kernel != "cpu" else 0
        return tokens * (sums + math * (2 * self.queries + 2 * self.keys + 2 * wide))

    def _softening(self) -> int:
        """Whole bytes of softmax in backward: its gradient, their product, and its result.

        The 16-bit scores and what went into the output matrix are no longer there; the values are
        not either, but their gradient is.
        """
        low = 0 if self.width.math == 4 else 2
        result = 2 if low and self.setup.dtype == "fp16" else 4
        scores = self.setup.length * self.model.heads * (4 + 4 + result - low)
        out = (self.width.copy or self.width.math) * self.queries
        gone = out if self.full or self.adapts("o_proj") else 0
        return self.tokens * (scores - gone)

    def multiplying(self) -> int:
        """Whole bytes that backward of the feed-forward part adds to what it saved."""
        one = self.width.math * self.wide
        if self.width.copy and not self.bottleneck:
            kept = 3 * one + self.width.copy * self.wide * self.adapts("down_proj")
            residual = 8 if self.width.copy == 2 else 10
            return self.tokens * (max(14 * self.wide, 6 * one) - kept + residual * self.hidden)
        if self.quantised and self.tokens * one < self._unpacked():
            return self.tokens * one + self._unpacked()
        kept = one * (4 if self.full or self.adapts("down_proj") else 3)
        return self.tokens * (6 * one - kept - 4 * self.hidden * self.full)

    def reading(self) -> int:
        """Whole bytes of a forward pass that keeps nothing: three wide results, or a matrix too."""
        one = self.tokens * self.width.math * self.wide
        packed = 2 * one + self._unpacked() if self.quantised else 0
        return max(3 * one, packed) + 2 * self.tokens * self.hidden * self.width.stream

    def _unpacked(self) -> int:
        """Whole bytes of the largest 4-bit matrix while it is multiplied."""
        largest = max((a * b for a, b in self.model.linear.values()), default=0)
        return largest * self.width.math


def _dense_width(model: ModelFacts) -> int:
    """Inner width of the linear feed-forward part; in a mixture, that of a shared expert."""
    if not model.experts:
        return model.intermediate
    return next((rows for name, (rows, _) in model.linear.items() if "gate_proj" in name), 0)


def _is_wide(name: str) -> bool:
    return name not in ATTENTION


def _kernel(setup: Setup, width: Widths) -> str:
    """What scaled_dot_product_attention takes; flash if nothing forbids it."""
    if setup.attention == "eager":
        return "eager"
    if not setup.cuda:
        return "cpu"
    forbidden = setup.padded or width.math == 4 or setup.attention == "efficient"
    return "efficient" if forbidden else "flash"


def count_layer(model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths) -> Layer:
    """One layer of a model as the step computes it."""
    count = Counter(model, adaptation, setup, width)
    experts = count_experts(model, adaptation, setup, width)
    mix = count.norm() + count.attention() + count.attention_inputs()
    wide = count.norm() + count.feed_forward() + count.feed_forward_inputs() + _NORM
    saved = count.tokens * (mix + wide + count.bottlenecks()) + count.scores() + experts.saved()
    saved += width.math * adaptation.kept(model, count.tokens)
    linear = sum(rows * columns for rows, columns in model.linear.values())
    trained = linear if count.full else adaptation.trainable(model) // max(1, model.layers)
    attending = count.tokens * mix + count.scores() + count.attending()
    checkpoint = count.tokens * model.hidden * width.stream
    # a norm keeps its input in 32 bits: of a 32-bit stream that is the checkpoint itself
    shared = checkpoint if setup.checkpointing and width.stream == 4 else 0
    return Layer(
        saved=saved,
        casts=width.cast * trained,
        peak=max(saved + count.multiplying(), saved + experts.added(), attending) - shared,
        checkpoint=checkpoint,
        reading=count.reading(),
    )
