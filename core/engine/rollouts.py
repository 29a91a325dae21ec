"""What every lesson does whose answers the model writes itself and a reward judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine import score
from core.engine.asked import Asked, encode_asked
from core.engine.encode import Progress
from core.engine.lesson import Lesson
from core.engine.rewarding import scorer
from core.engine.rows import Warn
from core.engine.trainer import Measure
from core.errors import DataError
from core.objectives.rewarded import Rewarded


class Rollouts(Lesson[Asked]):
    """Questions with room for an answer; the best model is the one whose answers earn most."""

    def look(self, warn: Warn) -> None:
        """Make the rewards ready, and leave room for answers."""
        self.scorer = scorer(self.objective.rewards)
        self._leave_room(warn)

    @property
    def objective(self) -> Rewarded:
        """Rewards and how answers are drawn."""
        assert isinstance(self.recipe.objective, Rewarded)
        return self.recipe.objective

    @property
    def judged(self) -> bool:  # type: ignore[override]
        """Whether an answer that is not word for word as expected is wrong."""
        return any(reward.kind == "exact" for reward in self.objective.rewards)

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Asked]:
        """One question per example."""
        return encode_asked(tokenizer, examples, progress)

    def _leave_room(self, warn: Warn) -> None:
        """Questions that leave no room for the longest answer are left out aloud."""
        room, length = self.objective.longest_answer, self.corpus.length
        kinds = {"train": self.corpus.train, "heldout": self.corpus.heldout}
        fit = {
            kind: [row for row in rows if row.leaves(room, length)] for kind, rows in kinds.items()
        }
        lost = sum(map(len, kinds.values())) - sum(map(len, fit.values()))
        text = f"{lost:,} questions leave no room for an answer of {room:,} tokens"
        hint = "Raise training.max_length, or lower objective.longest_answer."
        if not fit["train"]:
            raise DataError(f"All of {text} within {length:,}.", hint=hint)
        if lost:
            warn("no-room", f"{text} within {length:,} and are left out.", hint)
        self.corpus = replace(self.corpus, train=fit["train"], heldout=fit["heldout"])

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Mean reward, each reward's own mean and mean tokens of greedy answers."""
        asked = sorted(self.corpus.heldout, key=lambda row: len(row.ids))
        answers: list[str] = []
        tokens = 0
        size = score.at_once(score.ANSWER_BATCH)
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            made = score.extend(
                model,
                self.tokenizer,
                [row.ids for row in batch],
                self.objective.longest_answer,
                do_sample=False,
            )
            answers += self.tokenizer.batch_decode(made, skip_special_tokens=True)
            tokens += self._tokens(model, made)
            if progress:
                progress(len(answers), len(asked))
        found = self._figures(asked, answers, tokens)
        return Measure(None, metrics=found, rewarded=len(asked))

    def _tokens(self, model: Any, made: torch.Tensor) -> int:
        """Tokens up to the end of each answer, the end token included."""
        stops = torch.tensor(score.ends(model, self.tokenizer), device=made.device)
        over = torch.isin(made, stops).cumsum(1) - torch.isin(made, stops).long()
        return int((over == 0).sum())

    def _figures(
        self, asked: Sequence[Asked], answers: Sequence[str], tokens: int
    ) -> dict[str, float]:
        each, count = self.scorer.each(asked, answers), max(1, len(asked))
        parts = {f"reward/{name}": sum(given) / count for name, given in each.items()}
        whole = sum(self.scorer.total(each)) / count
        return {"reward": whole, "length": tokens / count} | parts
