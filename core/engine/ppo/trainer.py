"""Trains a policy on its own answers; the library's loop does the steps, checkpoints and resuming.

A rollout is made when the last one is used up. It is learned from in
`epochs_per_batch * minibatches` steps: that many steps further the library's data loader has gone
on to other questions. Which step takes which rows follows from the seed and the number of the
step, so that a resumed run goes on exactly as it would have.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from datasets import Dataset
from peft import PeftModel, get_peft_model
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import disable_dropout_in_model

from core.engine.asked import Asked
from core.engine.ppo import losses, rollout
from core.engine.ppo.rollout import Rollout, Written
from core.engine.ppo.values import head_for
from core.engine.rewarding import Scorer
from core.engine.score import measuring
from core.engine.trainer import Watched
from core.engine.watch import OWN
from core.objectives.ppo import PPO


@dataclass
class PolicyArguments(transformers.TrainingArguments):  # type: ignore[misc]
    """The library's arguments, and what this objective adds."""

    objective: PPO | None = None


class InTurns(Sampler[int]):  # type: ignore[misc]
    """Rows in a new order every epoch; each group of `size` comes `times` times in a row."""

    def __init__(self, rows: int, size: int, times: int, seed: int) -> None:
        self._rows, self._size, self._times, self._seed = rows, size, times, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the library, also when a run goes on in a later epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._rows // self._size) * self._size * self._times

    def __iter__(self) -> Iterator[int]:
        order = shuffled(self._rows, self._seed, self._epoch)
        for start in range(0, self._rows, self._size):
            yield from filled(order[start : start + self._size], self._size) * self._times


def filled(rows: Sequence[Any], size: int) -> list[Any]:
    """Exactly `size` rows: the last ones of an epoch are asked again until there are as many."""
    return list(itertools.islice(itertools.cycle(rows), size))


def shuffled(rows: int, *seeds: int) -> list[int]:
    """An order that depends on these numbers alone."""
    order: list[int] = np.random.default_rng(seeds).permutation(rows).tolist()
    return order


class Learner(transformers.Trainer):  # type: ignore[misc]
    """Proximal policy optimisation in the place of the library's loss."""

    def __init__(
        self,
        *,
        model: Any,
        args: PolicyArguments,
        peft_config: Any,
        asked: Sequence[Asked],
        score: Scorer,
        **arguments: Any,
    ) -> None:
        assert args.objective is not None
        self.objective, self.asked, self.score = args.objective, asked, score
        self.coefficient = self.objective.kl_coefficient
        self.reference = None
        if peft_config:
            model = get_peft_model(model, peft_config)
        else:
            self.reference = copy.deepcopy(model).eval().requires_grad_(False)
        disable_dropout_in_model(model)  # the same answer must be as likely twice
        self.head = head_for(model)
        super().__init__(model=model, args=args, data_collator=_collate, **arguments)
        self.model_accepts_loss_kwargs = False
        self.rollout: Rollout | None = None
        self.facts: dict[str, float] = {}
        self._calls = self._tokens = self._learned = 0
        self._told: list[torch.Tensor] = []

    @property
    def _size(self) -> int:
        """Answers of a rollout."""
        rows = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return int(rows * self.objective.minibatches)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        times = self.objective.steps * self.args.gradient_accumulation_steps
        return InTurns(len(self.train_dataset), self._size, times, self.args.seed)

    def get_train_dataloader(self) -> Any:
        """Each batch holds the questions of a whole rollout."""
        return self._get_dataloader(
            self.train_dataset, "Training", self._size, self._get_train_sampler, is_training=True
        )

    def create_optimizer(self, model: Any = None) -> Any:
        """The library's, with the value head in a group of its own."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if fresh:
            group = {"params": list(self.head.parameters()), "weight_decay": 0.0}
            optimizer.add_param_group(group | {"lr": self.objective.value_learning_rate})
        return optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        return super()._clip_grad_norm(torch.nn.ModuleList([model, self.head]))

    def _prepare_inputs(self, batch: dict[str, Any]) -> Rollout:
        """The answers that this micro-batch learns from."""
        number, step = divmod(self.state.global_step, self.objective.steps)
        part = self._calls % self.args.gradient_accumulation_steps
        self._calls += 1
        if part == 0:
            self.head.zero_grad()  # the library forgets gradients of the model only
            if step == 0 or self.rollout is None:
                numbers = filled(batch["number"], self._size)
                self._roll([self.asked[one] for one in numbers], number)
        assert self.rollout is not None
        turn, portion = divmod(step, self.objective.minibatches)
        order = torch.tensor(shuffled(self._size, self.args.seed, number, turn))
        chosen = order.chunk(self.objective.minibatches)[portion]
        self._tokens = int(self.rollout.lengths[chosen].sum())
        size = self.args.per_device_train_batch_size
        mine: Rollout = self.rollout.rows(chosen[part * size : (part + 1) * size])
        return mine

    def _roll(self, asked: Sequence[Asked], number: int) -> None:
        """Answer the questions, reward the answers and judge each of their tokens."""
        seed = self.args.seed + number * self._size
        size, chosen = self.args.per_device_train_batch_size, self.objective
        with self.accelerator.autocast():
            written = write(self.model, self.processing_class, asked, chosen, seed, size)
            thought = self._think(written)
        texts = texts_of(self.processing_class, written)
        each = self.score.each(asked, texts)
        scores = penalised(self.score.total(each), written, chosen)
        self.rollout = rollout.judge(written, thought, scores, self.coefficient, chosen)
        kl = summed(thought[0] - thought[1], written.mask)
        self.facts = {
            "reward": float(scores.mean()),
            "kl": float(kl.mean()),
            "length": float(written.lengths.float().mean()),
        } | {f"reward/{name}": sum(found) / len(found) for name, found in each.items()}
        if chosen.kl == "adaptive":
            self.coefficient = losses.next_coefficient(
                self.coefficient, self.facts["kl"], chosen.kl_target
            )

    def _think(self, written: Written) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities, the reference's, and values, a micro-batch at a time."""
        size = self.args.per_device_train_batch_size
        found = []
        with measuring(self.model):
            for start in range(0, self._size, size):
                part = written.rows(slice(start, start + size))
                logits, hidden = rollout.logits_of(self.model, part, self._heat)
                mine = losses.log_probs_of(logits, part.answers)
                with unchanged(self.model, self.reference) as reference:
                    logits, _ = rollout.logits_of(reference, part, self._heat)
                other = losses.log_probs_of(logits, part.answers)
                found.append((mine, other, self.head(hidden)))
        log_probs, others, values = (torch.cat(each) for each in zip(*found, strict=True))
        return log_probs, others, values

    @property
    def _heat(self) -> float:
        return self.objective.temperature

    def compute_loss(self, model: Any, inputs: Rollout, *unused: Any, **named: Any) -> Any:
        """Policy, value and entropy; every token of a step counts the same in all micro-batches."""
        chosen, mask = self.objective, inputs.mask
        logits, hidden = rollout.logits_of(model, inputs, self._heat)
        values = self.head(hidden)
        policy, clipped = losses.policy_loss(
            losses.log_probs_of(logits, inputs.answers), inputs.log_probs, inputs.advantages, mask,
            chosen.clip,
        )  # fmt: skip
        value = losses.value_loss(values, inputs.values, inputs.returns, mask, chosen.value_clip)
        entropy = losses.masked_mean(losses.entropy_of(logits), mask)
        share = mask.sum() / self._tokens
        self._told.append(torch.stack([entropy, value, clipped]).detach() * share)
        loss = policy + chosen.value_coefficient * value - chosen.entropy_coefficient * entropy
        return loss * share * self.args.gradient_accumulation_steps

    def log(self, logs: dict[str, float], *rest: Any) -> None:
        """The library's figures, and those of the rollout and of the step."""
        if "loss" in logs and self._told:
            figures = torch.stack(self._told).sum(0).tolist()
            self._told = []
            names = ("entropy", "value_loss", "clipped")
            told = self.facts | dict(zip(names, figures, strict=True))
            logs = logs | {f"{OWN}{name}": value for name, value in told.items()}
            self._learned += self._tokens
            logs["num_tokens"] = self._learned
        super().log(logs, *rest)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir)
        self.head.save(folder)
        if self.rollout is not None:
            self.rollout.save(folder, self.facts | {"coefficient": self.coefficient})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        self.head.restore(folder)
        self.rollout, self.facts = rollout.restore(folder, self.model.device)
        self.coefficient = self.facts.pop("coefficient")


class PolicyTrainer(Watched, Learner):
    """Proximal policy optimisation, watched."""

    falls: ClassVar = False


@contextmanager
def unchanged(model: Any, reference: Any) -> Iterator[Any]:
    """The model as it was before training: a frozen copy, or itself with the adapter off."""
    if isinstance(model, PeftModel):
        with model.disable_adapter():
            yield model
    else:
        yield reference


def write(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Asked],
    objective: PPO,
    seed: int,
    at_once: int,
) -> Written:
    """One sampled answer to each question."""
    prompts = [question.ids for question in asked]
    longest, heat = objective.longest_answer, objective.temperature
    return rollout.write(model, tokenizer, prompts, longest, heat, seed, at_once)


def texts_of(tokenizer: PreTrainedTokenizerBase, written: Written) -> list[str]:
    """Answers as text, without special tokens."""
    kept = [ids[mask] for ids, mask in zip(written.answers, written.mask, strict=True)]
    texts: list[str] = tokenizer.batch_decode(kept, skip_special_tokens=True)
    return texts


def penalised(scores: list[float], written: Written, objective: PPO) -> torch.Tensor:
    """The reward of each answer, less the penalty for one that does not end."""
    found = torch.tensor(scores, device=written.ids.device, dtype=torch.float32)
    return found - objective.missing_end_penalty * (~written.ended).float()


def _collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows as they are, and their tokens as the library counts them."""
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    return {
        "number": [row["number"] for row in rows],
        "input_ids": torch.nn.utils.rnn.pad_sequence(ids, True),
        "attention_mask": torch.nn.utils.rnn.pad_sequence([one > -1 for one in ids], True),
    }


def summed(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum over the tokens of each answer."""
    return torch.where(mask, values, 0).sum(1)
