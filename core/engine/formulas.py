"""TRL's own loss formulas, asked with likelihoods that are known already.

TRL offers its losses only as methods of trainers that run a model first. Here a stand-in gives
what a model has found on the held-out rows, all in one batch, so that no formula is written twice.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from trl import DPOTrainer, KTOTrainer, RewardTrainer


def _same(found: Any) -> Any:
    return found


def _stand_in(**known: Any) -> Any:
    """A trainer as far as its loss looks at one."""
    accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather=_same, gather_for_metrics=_same
    )
    return SimpleNamespace(
        accelerator=accelerator,
        model=SimpleNamespace(training=False),
        aux_loss_enabled=False,
        _metrics={"eval": defaultdict(list)},
        _total_train_tokens=0,
        **known,
    )


def _heard(likelihoods: torch.Tensor, tokens: torch.Tensor) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model that knows these answers, and a batch in which they have that many tokens.

    All of an answer's likelihood stands on its first token: every formula sums over tokens.
    """
    places = torch.arange(1 + int(tokens.max()))
    mask = ((places > 0) & (places <= tokens[:, None])).long()
    found = torch.zeros(len(tokens), len(places) - 1, dtype=likelihoods.dtype)
    found[:, 0] = likelihoods
    nothing = torch.zeros_like(found)
    said = SimpleNamespace(
        log_probs=found, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
    )
    batch = {"input_ids": torch.zeros_like(mask), "attention_mask": mask, "completion_mask": mask}
    return (lambda **_: said), batch


def dpo_loss(
    loss_type: str, beta: float, smoothing: float, now: torch.Tensor, before: torch.Tensor,
    tokens: torch.Tensor,
) -> float:  # fmt: skip
    """Mean loss of pairs by DPOTrainer.

    `now` and `before` are summed log-likelihoods, `tokens` their numbers; each has better (0) and
    worse (1) answers, of all pairs.
    """
    model, batch = _heard(now.flatten(), tokens.flatten())
    batch |= {"ref_chosen_logps": before[0], "ref_rejected_logps": before[1]}
    trainer = _stand_in(
        loss_types=[loss_type], loss_weights=[1.0], beta=beta, label_smoothing=smoothing,
        precompute_ref_logps=True, ld_alpha=None, f_divergence_type="reverse_kl",
        use_weighting=False, args=SimpleNamespace(discopop_tau=0.05),
    )  # fmt: skip
    return float(DPOTrainer._compute_loss(trainer, model, batch, return_outputs=False))


def kto_loss(
    loss_type: str, beta: float, weights: tuple[float, float], now: torch.Tensor,
    before: torch.Tensor, good: torch.Tensor,
) -> float:  # fmt: skip
    """Mean loss of marked answers by KTOTrainer.

    `now` and `before` are summed log-likelihoods: of the answers (0), and of answers to other
    questions (1), which tell how far the model has drifted.
    """
    model, batch = _heard(now[0], torch.ones(len(good), dtype=torch.long))
    batch |= {"ref_logps": before[0], "ref_KL_logps": before[1], "label": good}
    trainer = _stand_in(
        loss_type=loss_type, beta=beta, desirable_weight=weights[0], undesirable_weight=weights[1],
        precompute_ref_logps=True, calculate_KL=loss_type == "kto",
        _compute_kl_logps=lambda *_: now[1],
    )  # fmt: skip
    return float(KTOTrainer._compute_loss(trainer, model, batch, return_outputs=False))


def reward_loss(rewards: torch.Tensor, centre: float) -> float:
    """Mean loss of pairs by RewardTrainer; `rewards` of better (0) and worse (1) answers."""
    trainer = _stand_in(args=SimpleNamespace(center_rewards_coefficient=centre))
    said = SimpleNamespace(logits=rewards.flatten()[:, None])
    return float(RewardTrainer.compute_loss(trainer, lambda **_: said, {}))


def contrast_loss(kind: Any, per_answer: torch.Tensor, imitation: float, **known: Any) -> float:
    """Mean loss of pairs by ORPOTrainer or CPOTrainer, from their log-likelihoods.

    `per_answer` is what that trainer compares, of better (0) and worse (1) answers: sums, or means
    over tokens; `imitation` is the loss of imitating the better ones.
    """
    nothing = torch.zeros(1)
    said = (per_answer[0], per_answer[1], nothing, nothing, torch.tensor(imitation))
    trainer = _stand_in(concatenated_forward=lambda *_: said, **known)
    for formula in ("odds_ratio_loss", "cpo_loss"):
        if hasattr(kind, formula):
            setattr(trainer, formula, partial(getattr(kind, formula), trainer))
    loss, _ = kind.get_batch_loss_metrics(trainer, None, {}, "eval")
    return float(loss)
