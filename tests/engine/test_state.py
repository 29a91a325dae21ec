"""Training state is written without pickles and comes back with every bit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves, tree_structure

from core.engine.state import keep, random_state, recall, set_random_state
from core.errors import RunError

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
DTYPES = (
    torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.uint8, torch.int8,
    torch.int32, torch.int64, torch.bool,
)  # fmt: skip
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
tensors = st.builds(
    lambda dtype, shape, seed: torch.tensor(
        np.random.default_rng(seed).integers(0, 255, shape), dtype=torch.int64
    ).to(dtype),
    st.sampled_from(DTYPES), shapes, st.integers(0, 99),
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | tensors
)
keys = st.integers(0, 99) | st.text(max_size=5)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Alike in every bit and every kind."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    return type(one) is type(other) and one == other


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees)
def test_whatever_is_kept_comes_back(tmp_path: Path, tree: Any) -> None:
    keep(tmp_path, "state", tree)
    found = recall(tmp_path, "state")
    assert tree_structure(found) == tree_structure(tree)
    assert all(map(same, tree_leaves(tree), tree_leaves(found)))


def test_numbers_keep_bits_that_no_decimal_shows(tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    keep(tmp_path, "state", {"odd": odd, "rate": 0.1 + 0.2, "never": float("inf")})
    found = recall(tmp_path, "state")
    assert torch.equal(found["odd"].view(torch.int32), odd.view(torch.int32))
    assert (found["rate"], found["never"]) == (0.1 + 0.2, float("inf"))


def test_a_shared_table_is_kept_once_and_a_turned_one_as_it_reads(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    keep(tmp_path, "state", [table, table, table.T.clone().T])
    first, second, turned = recall(tmp_path, "state")
    assert first.data_ptr() == second.data_ptr()
    assert torch.equal(turned, table)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a set cannot be kept without a pickle"):
        keep(tmp_path, "state", {"things": {1, 2}})


@pytest.mark.parametrize("left", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_text("{")])
def test_damage_names_the_checkpoint(tmp_path: Path, left: str, damage: Any) -> None:
    keep(tmp_path, "state", {"a": torch.ones(2)})
    damage(tmp_path / left)
    with pytest.raises(RunError, match=f"{tmp_path.name} has no readable state"):
        recall(tmp_path, "state")


def drawn() -> list[float]:
    """The next numbers of every generator, a normal one kept back by Python and NumPy included."""
    return [
        random.random(), random.gauss(0, 1), float(np.random.normal()), float(torch.rand(1)),
        float(torch.randn(1)),
    ]  # fmt: skip


def test_every_generator_goes_on_where_it_stood(tmp_path: Path) -> None:
    before = random_state()
    try:
        drawn()
        keep(tmp_path, "random", random_state())
        expected = drawn() + drawn()
        set_random_state(recall(tmp_path, "random"))
        assert drawn() + drawn() == expected
    finally:
        set_random_state(before)
