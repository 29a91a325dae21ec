"""AdamW with states in few directions: GaLore (Zhao et al. 2024, arXiv 2403.03507) and APOLLO (Zhu
et al. 2024, arXiv 2412.05270).

Written from the papers. The package apollo-torch may not be used for money (CC BY-NC 4.0), both
packages keep Python objects in their states, which a checkpoint without pickles cannot hold, and
neither has had a release for long. Here a state is numbers and tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

GROWTH = 1.01
"""So many times the length of the last step at most (APOLLO's paper, after arXiv 2410.01623)."""
TINY = 1e-8
"""Keeps a gradient of zero from being divided by."""


class Projected(torch.optim.Optimizer):  # type: ignore[misc]
    """GaLore, APOLLO or APOLLO-Mini for matrices; `gap` steps pass between two choices of
    directions."""

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        *,
        kind: str,
        rank: int,
        gap: int,
        scale: float,
        seed: int,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        own = {"kind": kind, "rank": rank, "gap": gap, "scale": scale, "seed": seed}
        usual = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(matrices, own | usual)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for number, matrix in enumerate(group["params"]):
                if matrix.grad is not None:
                    change = self._change(matrix, group, number)
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(change, alpha=-group["lr"])

    def _change(self, matrix: Tensor, group: dict[str, Any], number: int) -> Tensor:
        """Works along the shorter side, which comes first."""
        state, high = self.state[matrix], matrix.shape[0] >= matrix.shape[1]
        gradient = matrix.grad.T if high else matrix.grad
        state["step"] = state.get("step", 0) + 1
        if group["kind"] == "galore_adamw":
            change = _galore(gradient, state, group)
        else:
            change = _apollo(gradient, state, group, number)
        return _correction(state, group) * (change.T if high else change)


def _galore(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """AdamW's step within the main directions of a gradient, and back."""
    if (state["step"] - 1) % group["gap"] == 0:
        state["basis"] = main_directions(gradient, group["rank"])
    moved = _adam(state["basis"].T @ gradient, state, group)
    return group["scale"] * (state["basis"] @ moved)


def _apollo(gradient: Tensor, state: dict[str, Any], group: dict[str, Any], number: int) -> Tensor:
    """The gradient, scaled as AdamW scales it in random directions: each column by itself, or with
    a single direction all of them alike."""
    turn = (state["step"] - 1) // group["gap"]
    basis = random_directions(gradient, group["rank"], (group["seed"], number, turn))
    few = basis.T @ gradient
    moved = _adam(few, state, group)
    side = 0 if group["kind"] == "apollo_adamw" else (0, 1)
    lengths = [torch.linalg.vector_norm(each, dim=side) for each in (moved, few)]
    return _limited(group["scale"] * gradient * (lengths[0] / (lengths[1] + TINY)), state)


def _adam(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """The direction of Adam's step, without the correction of its early ones."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(gradient) for _ in range(2))
    first, second = group["betas"]
    mean = state["exp_avg"].lerp_(gradient, 1 - first)
    square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    return mean / square.sqrt().add_(group["eps"])


def _correction(state: dict[str, Any], group: dict[str, Any]) -> float:
    """Means begin at zero; in the first steps they are too small by this. Outside of the limit on
    the growth of steps, as in the authors' code."""
    first, second = (1 - beta ** state["step"] for beta in group["betas"])
    return float(second**0.5 / first)


def _limited(change: Tensor, state: dict[str, Any]) -> Tensor:
    """A step that grows slowly; one after no step at all may have any length."""
    length = torch.linalg.vector_norm(change)
    before = state.get("length", torch.zeros_like(length))
    most = torch.where(before > 0, GROWTH * before, length)
    state["length"] = torch.minimum(length, most)
    return change * (state["length"] / (length + TINY * (length == 0)))


def main_directions(gradient: Tensor, rank: int) -> Tensor:
    """The left singular vectors of the largest singular values, from the smaller square."""
    _, vectors = torch.linalg.eigh(gradient @ gradient.T)
    return vectors[:, -rank:].clone(memory_format=torch.contiguous_format)


def random_directions(gradient: Tensor, rank: int, seeds: tuple[int, ...]) -> Tensor:
    """Made anew from the same seeds in every step, which costs less than to keep them."""
    (seed,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64) >> np.uint64(1)
    numbers = torch.Generator(gradient.device).manual_seed(int(seed))
    shape = (gradient.shape[0], min(rank, gradient.shape[0]))
    made = torch.randn(shape, generator=numbers, device=gradient.device, dtype=gradient.dtype)
    return made / shape[1] ** 0.5
