"""GaLore and APOLLO do what their papers say, and go on from a checkpoint to the bit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.engine.optimizers import ProjectedAndAdamW
from core.engine.projected import GROWTH, Projected, random_directions
from core.engine.state import OPTIMIZER, keep, recall
from core.recipe import Recipe
from tests.engine.conftest import create, go, losses, weights
from tests.engine.test_optimizers import billed, made, saved_states, stop_at, trainer_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
KINDS = ("galore_adamw", "apollo_adamw", "apollo_mini")
SHAPES = ((6, 10), (10, 6), (8, 8))
CHOSEN: dict[str, Any] = {
    "gap": 3, "seed": 5, "lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1,
}  # fmt: skip
SCALE, RANK, STEPS = 0.5, 3, 7


def gradient(shape: tuple[int, ...], step: int) -> Tensor:
    numbers = torch.Generator().manual_seed(step)
    return torch.randn(shape, generator=numbers) * (1 + step % 3)


def optimizer(matrix: Tensor, kind: str) -> Projected:
    rank = 1 if kind == "apollo_mini" else RANK
    return Projected([torch.nn.Parameter(matrix)], kind=kind, rank=rank, scale=SCALE, **CHOSEN)


def walk(chosen: Projected, first: int, last: int) -> list[Tensor]:
    """The matrix after each of some steps."""
    ((matrix,),) = (group["params"] for group in chosen.param_groups)
    places = []
    for step in range(first, last):
        matrix.grad = gradient(matrix.shape, step)
        chosen.step()
        places.append(matrix.detach().clone())
    return places


def adam(before: list[Tensor]) -> Tensor:
    """Adam's step after these gradients, from the sums that its moving means are."""
    first, second = CHOSEN["betas"]
    ages = range(len(before) - 1, -1, -1)
    means = [
        sum((1 - beta) * beta**age * g**power for age, g in zip(ages, before, strict=True))
        for beta, power in ((first, 1), (second, 2))
    ]
    corrected = [m / (1 - b ** len(before)) for m, b in zip(means, (first, second), strict=True)]
    return corrected[0] / corrected[1].sqrt()


@pytest.mark.parametrize("shape", SHAPES)
def test_galore_is_adam_within_the_main_directions(shape: tuple[int, int]) -> None:
    """Up to the choice of new directions, whose signs are arbitrary."""
    start = gradient(shape, 99)
    found = walk(optimizer(start.clone(), "galore_adamw"), 0, CHOSEN["gap"])
    left, _, right = torch.linalg.svd(gradient(shape, 0), full_matrices=False)
    high, few, expected = shape[0] >= shape[1], [], start
    for step, place in enumerate(found):
        now = gradient(shape, step)
        few.append(now @ right[:RANK].T if high else left[:, :RANK].T @ now)
        moved = adam(few)
        back = moved @ right[:RANK] if high else left[:, :RANK] @ moved
        expected = expected * (1 - CHOSEN["lr"] * CHOSEN["weight_decay"])
        expected = expected - CHOSEN["lr"] * SCALE * back
        torch.testing.assert_close(place, expected, rtol=1e-4, atol=1e-5)


def test_galore_keeps_its_directions_until_it_is_time() -> None:
    chosen = optimizer(torch.zeros(6, 10), "galore_adamw")
    kept = []
    for step in range(STEPS):
        walk(chosen, step, step + 1)
        ((state),) = chosen.state.values()
        kept.append(state["basis"])
    changed = [step for step in range(1, STEPS) if not kept[step].equal(kept[step - 1])]
    assert changed == [3, 6]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("shape", SHAPES)
def test_apollo_scales_gradients_as_adam_does_in_random_directions(
    shape: tuple[int, int], kind: str
) -> None:
    high, tall = shape[0] >= shape[1], kind == "apollo_mini"
    places = [torch.zeros(shape), *walk(optimizer(torch.zeros(shape), kind), 0, STEPS)]
    few: list[Tensor] = []
    before = None
    for step in range(STEPS):
        now = gradient(shape, step)
        now = now.T if high else now
        basis = random_directions(now, 1 if tall else RANK, (CHOSEN["seed"], 0, step // 3))
        few.append(basis.T @ now)
        side = None if tall else 0
        factors = adam(few).norm(dim=side) / few[-1].norm(dim=side)
        change = SCALE * factors * now
        bias = [1 - beta ** (step + 1) for beta in CHOSEN["betas"]]
        plain = change * bias[0] / bias[1] ** 0.5
        if before is not None and plain.norm() > GROWTH * before:
            change, plain = (each * GROWTH * before / plain.norm() for each in (change, plain))
        before = plain.norm()
        expected = places[step] * (1 - CHOSEN["lr"] * CHOSEN["weight_decay"])
        expected = expected - CHOSEN["lr"] * (change.T if high else change)
        torch.testing.assert_close(places[step + 1], expected, rtol=1e-3, atol=1e-6)


def test_random_directions_change_with_matrix_and_turn_and_keep_lengths() -> None:
    wide = torch.zeros(64, 4)
    made = [random_directions(wide, 32, seeds) for seeds in ((1, 0, 0), (1, 1, 0), (1, 0, 1))]
    assert not any(one.equal(other) for one, other in itertools.pairwise(made))
    assert random_directions(wide, 32, (1, 0, 0)).equal(made[0])
    vector = torch.ones(64)
    lengths = [
        (random_directions(wide, 32, (seed,)).T @ vector).norm() / vector.norm()
        for seed in range(50)
    ]
    assert torch.stack(lengths).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_without_gradient_stays_and_moves_again(kind: str) -> None:
    chosen = optimizer(torch.ones(6, 10), kind)
    chosen.param_groups[0]["weight_decay"] = 0.0
    ((matrix,),) = (group["params"] for group in chosen.param_groups)
    matrix.grad = torch.zeros(6, 10)
    chosen.step()
    assert matrix.equal(torch.ones(6, 10))
    (moved,) = walk(chosen, 1, 2)
    assert moved.isfinite().all()
    assert (moved - 1).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [2, 3, 5])
def test_kept_states_go_on_to_the_bit(tmp_path: Path, kind: str, stop: int) -> None:
    """Plain numbers and tensors: nothing that a reader would have to build."""
    start = gradient((10, 6), 99)
    whole = walk(optimizer(start.clone(), kind), 0, STEPS)
    first = optimizer(start.clone(), kind)
    half = walk(first, 0, stop)[-1]
    keep(tmp_path, OPTIMIZER, first.state_dict())
    second = optimizer(half.clone(), kind)
    second.load_state_dict(recall(tmp_path, OPTIMIZER))
    assert walk(second, stop, STEPS)[-1].equal(whole[-1])


def small(recipe: Recipe, kind: str, **changes: object) -> Recipe:
    """Six steps in few directions, which change every other step."""
    return made(recipe, kind, projection_rank=16, projection_gap=2, learning_rate=5e-3, **changes)


def test_matrices_of_the_layers_are_projected_and_nothing_else(
    tmp_path: Path, recipe: Recipe
) -> None:
    with trainer_of(tmp_path / "run", small(recipe, "galore_adamw")) as trainer:
        optimizer = trainer.create_optimizer()
    assert isinstance(optimizer, ProjectedAndAdamW)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    inner = {
        names[id(weight)]: optimizer.is_inner(group)
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert len(inner) == len(names)
    assert all(mine == name.endswith("proj.weight") for name, mine in inner.items())
    ((own),) = [group for group in optimizer.param_groups if optimizer.is_inner(group)]
    assert (own["rank"], own["gap"], own["scale"]) == (16, 2, 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_goes_on_bit_for_bit(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    chosen = small(recipe, kind)
    whole, halves = create(tmp_path / "whole", chosen), create(tmp_path / "halves", chosen)
    story = go(whole)
    assert losses(story)[-1] < losses(story)[0]
    go(halves, stop_at(3))
    assert losses(go(halves)) == losses(story)
    assert weights(halves) == weights(whole)
    assert saved_states(whole) == pytest.approx(billed(chosen), rel=0.02)
    assert saved_states(whole) < 0.7 * billed(chosen.edit("training.optimizer", "adamw"))
