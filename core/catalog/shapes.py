"""The exact shape of a model, and how many numbers a model of that shape has."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.value import Value

Bias = Literal["input", "output", "mlp", "norm", "head"]
"""Where a family adds biases: query-key-value, attention output, MLP, norms, output layer."""


class Family(Value):
    """What all models of one `model_type` have in common."""

    architecture: str
    attention: tuple[str, ...] = Field(min_length=2, max_length=4)
    """Projections as stored: query, key, value, output; or all three in one, and output."""
    mlp: tuple[str, ...] = Field(min_length=2, max_length=3)
    """Projections as stored: gate, up, down; or gate and up in one, and down; or up, down."""
    gated: bool = True
    """Whether the MLP has three matrices, else two."""
    bias: tuple[Bias, ...] = ()
    norms: int = 2
    """Norms of one layer that are as wide as the model."""
    query_norm: Literal["none", "head", "all"] = "none"
    """Norms on queries and keys: one for every head alike, or over all heads."""
    learned_positions: bool = False
    position_offset: int = 0
    """Rows that a table of learned positions has beyond the context."""
    transposed: bool = False
    """Whether weights are stored inputs first (GPT-2's Conv1D)."""
    renamed: dict[str, str] = Field({})
    """Keys that its config.json spells in its own way."""


class Shape(Value):
    """A model's size, under the keys of its config.json; a layer is alike all others."""

    model_type: str
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    head_dim: int = Field(0, ge=0)
    """0 where it is hidden_size / num_attention_heads."""
    intermediate_size: int = Field(gt=0)
    vocab_size: int = Field(gt=0)
    tie_word_embeddings: bool
    max_position_embeddings: int = Field(gt=0)
    num_experts: int = Field(0, ge=0)
    num_experts_per_tok: int = Field(0, ge=0)
    moe_intermediate_size: int = Field(0, ge=0)
    shared_expert_intermediate_size: int = Field(0, ge=0)

    @property
    def head_width(self) -> int:
        """Numbers of one attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def embedding(self) -> int:
        """Numbers of the token embedding."""
        return self.vocab_size * self.hidden_size


def config(shape: Shape, family: Family) -> dict[str, Any]:
    """What a config.json of this shape says."""
    said = {k: v for k, v in shape.model_dump().items() if v or k not in _OPTIONAL}
    return {family.renamed.get(key, key): value for key, value in said.items()}


_OPTIONAL = {name for name, field in Shape.model_fields.items() if field.default == 0}


def attention_shapes(shape: Shape, family: Family) -> dict[str, tuple[int, int]]:
    """Attention projections of one layer as stored: name -> rows, columns."""
    width = shape.hidden_size
    query = shape.num_attention_heads * shape.head_width
    key = shape.num_key_value_heads * shape.head_width
    rows = [query + 2 * key] if len(family.attention) == 2 else [query, key, key]
    sizes = [*((row, width) for row in rows), (width, query)]
    return _named(family.attention, sizes, family)


def mlp_shapes(shape: Shape, family: Family, inner: int) -> dict[str, tuple[int, int]]:
    """Projections of one MLP of this inner width as stored: name -> rows, columns."""
    width = shape.hidden_size
    up = [inner, inner] if family.gated else [inner]
    rows = [sum(up)] if len(family.mlp) == 2 else up
    return _named(family.mlp, [*((row, width) for row in rows), (width, inner)], family)


def _named(
    names: tuple[str, ...], sizes: list[tuple[int, int]], family: Family
) -> dict[str, tuple[int, int]]:
    stored = [(columns, rows) if family.transposed else (rows, columns) for rows, columns in sizes]
    return dict(zip(names, stored, strict=True))


def linear_shapes(shape: Shape, family: Family) -> dict[str, tuple[int, int]]:
    """Linear layers of one layer; experts are not among them, a shared expert is."""
    inner = shape.shared_expert_intermediate_size if shape.num_experts else shape.intermediate_size
    return attention_shapes(shape, family) | (mlp_shapes(shape, family, inner) if inner else {})


def parameters(shape: Shape, family: Family) -> int:
    """All numbers of the model."""
    return shape.num_hidden_layers * _layer(shape, family) + _ends(shape, family)


def _layer(shape: Shape, family: Family) -> int:
    matrices = sum(rows * columns for rows, columns in linear_shapes(shape, family).values())
    return matrices + _experts(shape, family) + _biases(shape, family) + _norms(shape, family)


def _experts(shape: Shape, family: Family) -> int:
    """Routed experts and their router."""
    inner = shape.moe_intermediate_size
    sizes = mlp_shapes(shape, family, inner).values()
    bias = (2 * inner + shape.hidden_size) * ("mlp" in family.bias)
    router = shape.hidden_size * shape.num_experts
    return router + shape.num_experts * (sum(rows * columns for rows, columns in sizes) + bias)


def _biases(shape: Shape, family: Family) -> int:
    heads = shape.num_attention_heads + 2 * shape.num_key_value_heads
    dense_mlp = 0 if shape.num_experts else shape.intermediate_size + shape.hidden_size
    sizes = {
        "input": heads * shape.head_width,
        "output": shape.hidden_size,
        "mlp": dense_mlp,
    }
    return sum(size for place, size in sizes.items() if place in family.bias)


def _norms(shape: Shape, family: Family) -> int:
    heads = shape.num_attention_heads + shape.num_key_value_heads
    queries = {"none": 0, "head": 2, "all": heads}[family.query_norm] * shape.head_width
    return family.norms * _norm(shape, family) + queries


def _norm(shape: Shape, family: Family) -> int:
    return shape.hidden_size * (2 if "norm" in family.bias else 1)


def _ends(shape: Shape, family: Family) -> int:
    """What stands before and behind the layers."""
    positions = shape.max_position_embeddings + family.position_offset
    table = positions * shape.hidden_size if family.learned_positions else 0
    head = 0 if shape.tie_word_embeddings else shape.embedding
    head += shape.vocab_size * ("head" in family.bias)
    return shape.embedding + table + head + _norm(shape, family)
