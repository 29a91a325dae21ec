"""The output layer and the loss: logits in one piece, or TRL's fused head that tiles them."""

from __future__ import annotations

from core.adapt import Adaptation
from core.memory.layers import tokens
from core.memory.setup import Setup
from core.memory.states import compute_width, stream_width
from core.models import ModelFacts

TILE_TOKENS, TILE_VOCABULARY = 4096, 32_768
"""Positions and vocabulary entries that TRL 1.16's fused head works on at a time."""


def loss(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Bytes of the output layer at its worst moment, forward or backward."""
    if setup.loss == "fused":
        return _fused(model, adaptation, setup)
    return _logits(model, adaptation, setup)


def _fused(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Hidden states with their gradient, a tile of scores; a trained head its gradient."""
    width = compute_width(setup)
    hidden = tokens(setup) * model.hidden * (2 * width + 4)
    tile = min(tokens(setup), TILE_TOKENS) * min(model.vocab, TILE_VOCABULARY) * width
    return hidden + tile + (4 * model.vocab * model.hidden if adaptation.kind == "full" else 0)


def _logits(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Forward: logits, their 32-bit copy, log-softmax. Backward: three 32-bit matrices.

    The plain loop keeps `outputs` and with it the logits until the step is over.
    """
    width = stream_width(adaptation, setup)
    kept = width if setup.engine == "plain" else 0
    forward = width + (4 if width != 4 else 0) + 4
    return tokens(setup) * model.vocab * max(forward, 12 + kept)


def final_norm(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """The last hidden state and what its norm keeps."""
    return tokens(setup) * model.hidden * (stream_width(adaptation, setup) + 8)
