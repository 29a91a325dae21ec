"""Memory of the output layer and the loss, in bytes.

Sources: ForCausalLMLoss of transformers (logits are raised to 32 bits; log_softmax, its gradient
and that of its input), and ChunkedLogProbFunction of TRL's fused head (tiles of 4,096 tokens by
32,768 words, gradients summed in 32 bits).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.setup import Setup
from core.memory.widths import Widths
from core.models import ModelFacts

TILE_TOKENS, TILE_WORDS = 4096, 32_768
CPU_TILES = 4.25, 8.25
"""Without Triton so many tiles are made in forward and backward; the fraction holds bits. Pages of
a tile that a small vocabulary never touches are no memory on a processor."""


PART, COPIES = 2**25, 12
"""Logits that a teacher's and a model's opinion are compared on at once, and how many copies in 32
bits TRL's generalized_jsd_loss makes of them at most."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What the output layer adds to the saved activations."""

    forward: int
    backward: int
    kept: int
    """Logits that a plain loop still holds when the layers are differentiated."""
    saved: int
    """Kept from forward to backward: the last norm and what comes out of it."""


def count_loss(model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> Loss:
    """The loss of one micro-batch; with `full` the output layer is trained."""
    tokens = setup.rows * setup.length
    norm = tokens * model.hidden * (4 + (width.stream if full else 0))
    hidden = tokens * model.hidden * width.stream
    if setup.engine == "trl" and setup.loss == "fused":
        return _fused(model, setup, width, norm, hidden, full=full)
    kept = tokens * model.vocab * width.math if setup.engine == "plain" else 0
    logits = tokens * model.vocab
    raised = width.math if width.math != 4 else 0
    return Loss(
        forward=norm + hidden + logits * (raised + 8),
        backward=norm + logits * 12 + kept,
        kept=kept,
        saved=norm + hidden,
    )


def count_divergence(model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> Loss:
    """A teacher's logits beside the model's, both once more where words are trained, and all that
    the loss makes of one part."""
    tokens = setup.rows * setup.length
    norm = tokens * model.hidden * (4 + (width.stream if full else 0))
    hidden = tokens * model.hidden * width.stream
    logits = tokens * model.vocab * width.math
    part = 4 * COPIES * min(PART, tokens * model.vocab)
    return Loss(
        forward=norm + hidden + 4 * logits + part,
        backward=norm + 4 * logits + part,
        kept=0,
        saved=norm + hidden,
    )


def count_score(model: ModelFacts, setup: Setup, width: Widths, *, full: bool) -> Loss:
    """One number per word from a layer of one row, as in LlamaForSequenceClassification."""
    tokens = setup.rows * setup.length
    norm = tokens * model.hidden * (4 + (width.stream if full else 0))
    hidden = tokens * model.hidden * width.stream
    return Loss(forward=norm + hidden, backward=norm + 2 * hidden, kept=0, saved=norm + hidden)


def _fused(
    model: ModelFacts, setup: Setup, width: Widths, norm: int, hidden: int, *, full: bool
) -> Loss:
    tokens = setup.rows * setup.length
    part = min(tokens, TILE_TOKENS)
    words = TILE_WORDS if setup.cuda else min(TILE_WORDS, model.vocab)
    tile = part * words * width.math
    ahead, back = (1, 1) if setup.cuda else CPU_TILES
    cast = width.math if width.math != width.stream else 0
    rows = min(TILE_WORDS, model.vocab) * model.hidden * cast
    chunk = part * model.hidden * cast
    summed = tokens * model.hidden * 4
    weight = model.vocab * model.hidden * 4 if full else 0
    result = tokens * model.hidden * width.stream if width.stream != 4 else 0
    return Loss(
        forward=norm + 2 * hidden + chunk + rows + round(ahead * tile),
        backward=norm + hidden + summed + weight
        + max(result, chunk + 2 * rows) + round(back * tile),
        kept=0,
        saved=norm + hidden,
    )  # fmt: skip
