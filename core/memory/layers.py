"""Activations: what autograd keeps of one layer, and what a layer's backward needs beside it.

Derived from the operations of transformers' decoder layers (two RMSNorms, attention, gated MLP)
and of PEFT's LoRA layers; checked against traced steps. Bytes throughout.
"""

from __future__ import annotations

from core.adapt import Adaptation
from core.memory.setup import Setup
from core.memory.states import compute_width, stream_width
from core.models import ModelFacts

_QKV = ("q_proj", "k_proj", "v_proj")
_MLP_IN = ("gate_proj", "up_proj")


def tokens(setup: Setup) -> int:
    """Positions computed at once on one device."""
    pair = 2 if setup.objective in ("dpo", "reward") else 1
    return setup.rows * setup.length * pair


def attention(setup: Setup) -> str:
    """The kernel that runs: torch takes flash without a mask, memory-efficient with one."""
    if setup.attention == "sdpa":
        return "efficient" if setup.padded or not setup.cuda else "flash"
    return setup.attention


def checkpoints(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """The residual stream before each layer, all that gradient checkpointing keeps."""
    return model.layers * tokens(setup) * model.hidden * stream_width(adaptation, setup)


def layer(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """What one layer keeps for its backward."""
    per_token = (
        _norms(model) + _attention(model, adaptation, setup) + _mlp(model, adaptation, setup)
    )
    per_token += (
        _inputs_of_trained(model, adaptation, setup)
        if adaptation.kind == "full"
        else _inputs_of_adapters(model, adaptation, setup)
    )
    return tokens(setup) * per_token + _scores(model, adaptation, setup)


def working(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Temporaries while one layer is differentiated: the largest of MLP and attention."""
    width = _inner_width(adaptation, setup)
    mlp = 3 * width * tokens(setup) * model.intermediate
    return max(mlp, _attention_backward(model, setup, width)) + _dequantised(model, adaptation)


def _inner_width(adaptation: Adaptation, setup: Setup) -> int:
    """Bytes per number between the matrix products of a layer."""
    raised = adaptation.quantised and setup.kbit_prepare and setup.engine == "plain"
    return 4 if raised else compute_width(setup)


def _norms(model: ModelFacts) -> int:
    """Each RMSNorm keeps its input in 32 bits."""
    return 2 * 4 * model.hidden


def _heads(model: ModelFacts, setup: Setup) -> tuple[int, int]:
    """Numbers per token in queries, and in keys (or values) as the kernel reads them."""
    queries = model.heads * model.head_dim
    grouped = attention(setup) == "flash"
    return queries, (model.kv_heads * model.head_dim if grouped else queries)


def _attention(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    queries, keys = _heads(model, setup)
    width = _inner_width(adaptation, setup)
    if attention(setup) == "eager":
        return width * (queries + 2 * keys)
    return width * (2 * queries + 2 * keys) + 4 * model.heads


def _scores(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """The score matrix that eager attention keeps, in 32 bits and as it is multiplied."""
    if attention(setup) != "eager":
        return 0
    width = _inner_width(adaptation, setup)
    squares = setup.rows * model.heads * setup.length**2
    return squares * (4 + (width if width != 4 else 0))


def _mlp(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Gate, its activation and the other half."""
    return 3 * _inner_width(adaptation, setup) * _active(model)


def _active(model: ModelFacts) -> int:
    return model.intermediate


def _inputs_of_trained(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """Every linear layer keeps its input; autocast makes one copy in 16 bits for each."""
    width = compute_width(setup)
    if stream_width(adaptation, setup) == width:
        return width * (4 * model.hidden + model.intermediate)
    return width * (5 * model.hidden + model.intermediate) + 2 * 4 * model.hidden


def _inputs_of_adapters(model: ModelFacts, adaptation: Adaptation, setup: Setup) -> int:
    """What the first matrix of each adapter keeps: its input and its own small output."""
    targets = _targets(model, adaptation)
    rank = int(getattr(adaptation, "rank", 0))
    inner = _inner_width(adaptation, setup)
    copied = 4 if setup.engine == "plain" else compute_width(setup)
    small = copied * rank * len(targets)
    autocast = setup.engine == "trl" and setup.cuda and not adaptation.quantised
    if copied != inner or autocast:  # PEFT raises the input of each adapter, autocast lowers it
        return small + copied * sum(model.linear[name][1] for name in targets)
    shared = model.hidden * (_any(targets, _QKV) + _any(targets, _MLP_IN))
    shared += model.intermediate * ("down_proj" in targets)
    if attention(setup) == "eager" and "o_proj" in targets:
        shared += model.heads * model.head_dim
    return small + copied * shared


def _any(targets: list[str], names: tuple[str, ...]) -> int:
    return int(any(name in targets for name in names))


def _targets(model: ModelFacts, adaptation: Adaptation) -> list[str]:
    wanted = getattr(adaptation, "targets", "all-linear")
    known = list(model.linear)
    return known if wanted == "all-linear" else [n for n in known if n in (*_QKV, "o_proj")]


def _attention_backward(model: ModelFacts, setup: Setup, width: int) -> int:
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    if attention(setup) == "eager":
        return setup.rows * model.heads * setup.length**2 * (8 + width)
    return tokens(setup) * (4 * queries + width * (3 * queries + 2 * keys))


def _dequantised(model: ModelFacts, adaptation: Adaptation) -> int:
    """The largest 4-bit matrix, unpacked to 16 bits for its product."""
    if not adaptation.quantised:
        return 0
    return max((2 * rows * columns for rows, columns in model.linear.values()), default=0)
