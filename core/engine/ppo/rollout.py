"""Answers to a batch of questions, and what a step needs to know of each of their tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from core.engine.ppo import losses
from core.engine.ppo.values import overheard
from core.engine.score import ends, extend, padding
from core.objectives.ppo import PPO

FILE = "rollout.safetensors"


@dataclass(frozen=True)
class Written:
    """Questions with their answers, one row each, padded on the right."""

    ids: torch.Tensor
    """Rows x tokens of question and answer together."""
    seen: torch.Tensor
    """Which of them are real."""
    starts: torch.Tensor
    """Where each row's answer begins."""
    answers: torch.Tensor
    """Rows x tokens of the answers alone."""
    mask: torch.Tensor
    """Which tokens of an answer count: up to its end token, that included."""
    ended: torch.Tensor
    """Which answers have an end token."""

    def rows(self, chosen: slice | torch.Tensor) -> Any:
        """Some of the rows."""
        kept = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return type(self)(**kept)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each answer."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class Rollout(Written):
    """Answers with what was thought of them when they were made; all are rows x answer tokens."""

    log_probs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    def save(self, folder: Path, facts: dict[str, float]) -> None:
        """Beside the other files of a checkpoint, with a few numbers."""
        tensors = {
            field.name: getattr(self, field.name).cpu().contiguous() for field in fields(self)
        }
        save_file(tensors, folder / FILE, {"facts": json.dumps(facts)})


def restore(folder: Path, device: torch.device) -> tuple[Rollout, dict[str, float]]:
    """What `Rollout.save` wrote. Raises OSError when the checkpoint has none."""
    with safe_open(folder / FILE, "pt") as file:
        kept = {field.name: file.get_tensor(field.name).to(device) for field in fields(Rollout)}
        return Rollout(**kept), json.loads(file.metadata()["facts"])


def write(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    longest: int,
    temperature: float,
    seed: int,
    at_once: int,
) -> Written:
    """Sampled answers, from the model's whole vocabulary and without any filter.

    The model's own way to sample (top-k and the like) is not used: its likelihoods would not be
    those that are learned from.
    """
    made: list[torch.Tensor] = []
    for start in range(0, len(prompts), at_once):
        found = extend(
            model, tokenizer, prompts[start : start + at_once], longest, seed=seed + start,
            do_sample=True, temperature=temperature, top_k=0, top_p=1.0, repetition_penalty=1.0,
        )  # fmt: skip
        made += list(found)
    return join(prompts, made, ends(model, tokenizer), padding(tokenizer))


def join(
    prompts: Sequence[list[int]], made: Sequence[torch.Tensor], stops: Sequence[int], pad: int
) -> Written:
    """Question and answer side by side; whatever follows an end token is padding."""
    device = made[0].device
    answers = torch.nn.utils.rnn.pad_sequence(list(made), True, pad)
    ended = torch.isin(answers, torch.tensor(stops, device=device))
    sizes = torch.tensor([len(answer) for answer in made], device=device)
    inside = torch.arange(answers.shape[1], device=device) < sizes[:, None]
    mask = inside & (ended.cumsum(1) - ended.long() == 0)
    whole = [
        torch.cat([torch.tensor(prompt, device=device), answer[kept]])
        for prompt, answer, kept in zip(prompts, answers, mask, strict=True)
    ]
    ids = torch.nn.utils.rnn.pad_sequence(whole, True, pad)
    lengths = torch.tensor([len(row) for row in whole], device=device)
    return Written(
        ids=ids,
        seen=torch.arange(ids.shape[1], device=device) < lengths[:, None],
        starts=torch.tensor([len(prompt) for prompt in prompts], device=device),
        answers=torch.where(mask, answers, pad),
        mask=mask,
        ended=(ended & mask).any(1),
    )


def logits_of(
    model: Any, written: Written, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (rows x answer tokens x words) and last hidden states where each token was foreseen.

    Virtual tokens that an adapter puts in front move every place to the right.
    """
    with overheard(model) as caught:
        logits = model(
            input_ids=written.ids, attention_mask=written.seen.long(), use_cache=False
        ).logits
    ahead = logits.shape[1] - written.ids.shape[1]
    steps = torch.arange(written.answers.shape[1], device=logits.device)
    places = (written.starts[:, None] - 1 + steps).clamp(max=written.ids.shape[1] - 1) + ahead
    rows = torch.arange(len(places), device=logits.device)[:, None]
    return logits[rows, places].float() / temperature, caught[-1][rows, places]


def judge(
    written: Written,
    thought: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    scores: torch.Tensor,
    coefficient: float,
    objective: PPO,
) -> Rollout:
    """Advantages and returns of answers; `thought` is log-probabilities, reference's and values.

    The score counts at the last token of an answer. TRL counts it one place further on, where it
    estimates the value of a finished answer.
    """
    log_probs, reference, values = (torch.where(written.mask, one, 0) for one in thought)
    apart = losses.divergence(log_probs, reference, objective.kl_estimator)
    rewards = losses.token_rewards(apart, coefficient, scores, written.lengths - 1)
    if objective.whiten_rewards:
        rewards = losses.whiten(rewards, written.mask, keep_mean=True)
    found, returns = losses.advantages_of(rewards, values, objective.gamma, objective.lam)
    return Rollout(
        **vars(written),
        log_probs=log_probs,
        values=values,
        advantages=losses.whiten(found, written.mask),
        returns=returns,
    )
