"""The arithmetic of proximal policy optimisation, without any model.

Tensors are rows x tokens of the generated answers; a mask is true where a token counts. Compared
with TRL 1.12.0's PPOTrainer on recorded numbers (tests/data/ppo).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import cross_entropy

Estimator = Literal["k1", "k3"]
SURPRISE, PULL = 0.2, 0.1
"""Ziegler et al. 2019: the error that counts at most, and how strongly the coefficient follows."""


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of what counts; 0 where nothing does."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: torch.Tensor, mask: torch.Tensor, *, keep_mean: bool = False) -> torch.Tensor:
    """Values of variance 1 (unbiased) and, unless it is kept, mean 0; 0 where none counts."""
    mean = masked_mean(values, mask)
    counted = mask.sum()
    spread = masked_mean((values - mean) ** 2, mask) * counted / (counted - 1).clamp(min=1)
    even = (values - mean) * torch.rsqrt(spread + 1e-8)
    return torch.where(mask, even + mean if keep_mean else even, 0)


def log_probs_of(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each token, in nats, by logits of rows x tokens x words."""
    found = cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
    return -found.view_as(tokens)


def entropy_of(logits: torch.Tensor) -> torch.Tensor:
    """Uncertainty over each next token, in nats."""
    known = logits.log_softmax(-1)
    return -(known.exp() * known).sum(-1)


def divergence(
    log_probs: torch.Tensor, reference: torch.Tensor, estimator: Estimator
) -> torch.Tensor:
    """Estimated KL of policy from reference for each sampled token, in nats.

    k1 is the log-ratio; k3 is never negative and varies less (Schulman 2020, "Approximating KL
    divergence").
    """
    ratio = reference - log_probs
    return -ratio if estimator == "k1" else ratio.exp() - 1 - ratio


def token_rewards(
    apart: torch.Tensor, coefficient: float, scores: torch.Tensor, last: torch.Tensor
) -> torch.Tensor:
    """Each token pays for its divergence; the token at `last` of a row earns the row's score.

    Ouyang et al. 2022 (arXiv 2203.02155, section 3.5).
    """
    rewards = -coefficient * apart
    return rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards.dtype))


def advantages_of(
    rewards: torch.Tensor, values: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantages (Schulman et al. 2016, arXiv 1506.02438, equation 16), and returns.

    Rewards and values are 0 behind the end of an answer.
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    surprises = rewards + gamma * following - values
    found, later = torch.empty_like(rewards), torch.zeros_like(rewards[:, 0])
    for at in reversed(range(rewards.shape[1])):
        later = surprises[:, at] + gamma * lam * later
        found[:, at] = later
    return found, found + values


def policy_loss(
    log_probs: torch.Tensor,
    before: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clipped surrogate (Schulman et al. 2017, arXiv 1707.06347, equation 7) and clipped share."""
    ratio = torch.where(mask, log_probs - before, 0).exp()
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - clip, 1 + clip)
    return masked_mean(torch.max(free, held), mask), masked_mean((held > free).float(), mask)


def value_loss(
    values: torch.Tensor,
    before: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
) -> torch.Tensor:
    """Half the squared error; a value that moved further than `clip` counts where it was held.

    The clipping is that of OpenAI's baselines, which the paper's authors wrote.
    """
    held = before + (values - before).clamp(-clip, clip)
    worse = torch.max((values - returns) ** 2, (held - returns) ** 2)
    return masked_mean(worse, mask) / 2


def next_coefficient(coefficient: float, measured: float, target: float) -> float:
    """A KL coefficient that pulls the divergence to its target.

    Ziegler et al. 2019 (arXiv 1909.08593, section 2.2): a proportional controller on its logarithm.
    """
    error = min(SURPRISE, max(-SURPRISE, measured / target - 1))
    return coefficient * (1 + PULL * error)
