"""A reward model: pairs of answers, learned by TRL's RewardTrainer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from trl import RewardConfig, RewardTrainer

from core.draft import Settings
from core.engine.encode import Progress
from core.engine.formulas import reward_loss
from core.engine.judge import as_scorer, rewards
from core.engine.likelihood import ranked
from core.engine.load import load_model
from core.engine.pairs import Pair
from core.engine.pairwise import Pairwise
from core.engine.trainer import Measure, Watched
from core.objectives import Reward


class JudgeTrainer(Watched, RewardTrainer):  # type: ignore[misc]
    """Reward modelling on pairs that are encoded already."""


class RewardAnswers(Pairwise):
    """Learns to give better answers a higher number."""

    trainer: ClassVar = JudgeTrainer

    @property
    def objective(self) -> Reward:
        """How far numbers are pulled to zero."""
        assert isinstance(self.recipe.objective, Reward)
        return self.recipe.objective

    def load(self, folder: Path, settings: Settings) -> Any:
        """The base with a new, random layer that gives one number. Raises ModelError."""
        return as_scorer(load_model(folder, self.recipe, settings, scores=True), self.pad)

    def peft_config(self) -> Any:
        """The new layer is trained whole beside the adapter, and saved with it."""
        chosen = copy.copy(super().peft_config())
        if chosen is not None:
            chosen.task_type = "SEQ_CLS"
            chosen.modules_to_save = [*(getattr(chosen, "modules_to_save", None) or ()), "score"]
        return chosen

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per pair, and the share of pairs judged the right way round."""
        cut = [side.ids[: self.length] for side in self.sides]
        found = torch.tensor(rewards(model, cut, self.pad, progress), dtype=torch.float64)
        both = found.reshape(-1, 2).T
        return Measure(reward_loss(both, self.objective.centre), metrics=ranked(*both))

    def columns(self, pair: Pair) -> dict[str, list[int]]:
        """Whole sequences, cut."""
        return {
            "chosen_ids": pair.chosen.ids[: self.length],
            "rejected_ids": pair.rejected.ids[: self.length],
        }

    def arguments(self, common: dict[str, Any]) -> RewardConfig:
        """Rows are cut and dropout is settled before TRL sees either."""
        return RewardConfig(
            **common,
            max_length=None,
            disable_dropout=False,
            center_rewards_coefficient=self.objective.centre or None,
        )
