"""Groups of answers to one question, learned by TRL's GRPOTrainer or RLOOTrainer.

TRL gets each question under a number, so that it cannot render it otherwise than we do: the tokens
it asks with are those of core.engine.encode.question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import TrainingArguments
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from core.engine.rewarding import Give
from core.engine.rollouts import Rollouts
from core.engine.state import keep, recall
from core.engine.trainer import Watched
from core.objectives import GRPO, RLOO
from core.objectives.rewarded import Grouped

ROLLOUT = "rollout"
"""Answers that further steps will learn from; in a checkpoint between two of those steps."""


class Grouping(Watched):
    """In front of a trainer that learns from groups: our tokens, and whole checkpoints."""

    falls: ClassVar = False

    _step: int
    _buffered_inputs: Any
    _metrics: Any
    generation_config: Any

    def __init__(self, watch: Any, **arguments: Any) -> None:
        data = arguments["train_dataset"]
        self.questions = dict(zip(data["prompt"], data["ids"], strict=True))
        self._seen: int | None = None
        super().__init__(watch, **arguments)

    def _tokenize_prompts(
        self, prompts: Sequence[str]
    ) -> tuple[list[list[int]], None, dict[str, Any]]:
        """The tokens of each question, found by its number; no pictures, nothing else."""
        return [self.questions[number] for number in prompts], None, {}

    def _generate(self, *given: Any, **named: Any) -> Any:
        """TRL's answers; tokens are counted from the start of this process, as elsewhere."""
        if self._seen is None:
            self._seen = int(self.state.num_input_tokens_seen)
        made = super()._generate(*given, **named)
        self._metrics["train"]["num_tokens"] = [self.state.num_input_tokens_seen - self._seen]
        return made

    def batch_of(self, inputs: Any) -> dict[str, Any]:
        """Questions with the answers that were generated to them."""
        batch = self._buffered_inputs[(self._step - 1) % self.args.steps_per_generation]
        return {
            "input_ids": torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            "attention_mask": torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        }

    def make_large(self) -> None:
        """Answers that do not end before they are as long as they may be."""
        self.generation_config.min_new_tokens = self.args.max_completion_length

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.num_iterations > 1:
            waiting = {"step": self._step, "answers": self._buffered_inputs}
            keep(Path(output_dir), ROLLOUT, waiting)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint and self.args.num_iterations > 1:
            waiting = recall(Path(checkpoint), ROLLOUT, str(self.args.device))
            self._step, self._buffered_inputs = waiting["step"], waiting["answers"]


class GRPOWatched(Grouping, GRPOTrainer):  # type: ignore[misc]
    """Group relative policy optimisation."""


class RLOOWatched(Grouping, RLOOTrainer):  # type: ignore[misc]
    """REINFORCE with the other answers as baseline."""


class Group(Rollouts):
    """Learns from answers that are compared with others to the same question."""

    @property
    def grouped(self) -> Grouped:
        """What both objectives have."""
        assert isinstance(self.recipe.objective, Grouped)
        return self.recipe.objective

    def dataset(self) -> Dataset:
        """One row per question: its number as prompt, and its tokens."""
        rows = self.corpus.train
        return Dataset.from_dict(
            {"prompt": [str(at) for at in range(len(rows))], "ids": [row.ids for row in rows]}
        )

    def lengths(self, dataset: Dataset) -> list[int]:
        """A question with the longest answer."""
        return [len(ids) + self.grouped.longest_answer for ids in dataset["ids"]]

    def extras(self) -> dict[str, Any]:
        """The rewards, as functions TRL calls."""
        return {
            "reward_funcs": [self._function(name, give) for name, give in self.scorer.parts.items()]
        }

    def _function(self, name: str, give: Give) -> Callable[..., list[float]]:
        def rewarded(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
            return give([self.corpus.train[int(number)] for number in prompts], completions)

        rewarded.__name__ = name
        return rewarded

    def _shared(self) -> dict[str, Any]:
        goal = self.grouped
        return {
            "num_generations": goal.answers_per_prompt,
            "max_completion_length": goal.longest_answer,
            "temperature": goal.temperature,
            "epsilon": goal.clip,
            "num_iterations": goal.iterations,
            "reward_weights": self.scorer.weights,
        }


class GroupRelative(Group):
    """GRPO."""

    trainer: ClassVar = GRPOWatched

    def arguments(self, common: dict[str, Any]) -> TrainingArguments:
        """Rewards are scaled by the spread of their group, except in dr_grpo."""
        goal = self.grouped
        assert isinstance(goal, GRPO)
        return GRPOConfig(
            **common,
            **self._shared(),
            beta=goal.beta,
            loss_type=goal.loss_type,
            scale_rewards="none" if goal.loss_type == "dr_grpo" else "group",
        )


class LeaveOneOut(Group):
    """RLOO."""

    trainer: ClassVar = RLOOWatched

    def arguments(self, common: dict[str, Any]) -> TrainingArguments:
        """Rewards stay as they are; distance is part of them."""
        goal = self.grouped
        assert isinstance(goal, RLOO)
        return RLOOConfig(**common, **self._shared(), beta=goal.beta)
