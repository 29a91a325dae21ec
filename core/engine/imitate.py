"""Supervised fine-tuning: rows of one conversation each, learned by TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, pack_dataset

from core.dataset import Example
from core.draft import Settings
from core.engine.attention import JOINED
from core.engine.encode import Progress, Row
from core.engine.kept_tokens import encode_once
from core.engine.lesson import Lesson
from core.engine.score import heldout_loss
from core.engine.trainer import Measure, Trainer, Watched


class Imitate(Lesson[Row]):
    """Learns the marked tokens of each row."""

    trainer: ClassVar[type[Watched]] = Trainer
    judged: ClassVar = True
    apart = False

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Row]:
        """One row per example."""
        return encode_once(tokenizer, examples, progress)

    def load(self, folder: Path, settings: Settings) -> Any:
        """The base model; only now it is known whether its family keeps joined rows apart."""
        model = super().load(folder, settings)
        self.apart = model.config._attn_implementation == JOINED
        return model

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per trained token."""
        return Measure(heldout_loss(model, self.corpus.heldout, self.length, self.pad, progress))

    def dataset(self) -> Dataset:
        """Cut rows, packed if the plan says so."""
        cut = [row.cut(self.length) for row in self.corpus.train]
        rows = Dataset.from_dict(
            {"input_ids": [ids for ids, _ in cut], "labels": [labels for _, labels in cut]}
        )
        return pack_dataset(rows, self.length, "bfd") if self.settings.packing else rows

    def places(self) -> list[int | str]:
        """Packed rows stand in many places."""
        return [] if self.settings.packing else super().places()

    def lengths(self, dataset: Dataset) -> list[int]:
        """Packed rows are as long as they were packed."""
        return [len(ids) for ids in dataset["input_ids"]]

    def arguments(self, common: dict[str, Any]) -> SFTConfig:
        """TRL must not tokenise again what is encoded."""
        return SFTConfig(
            **common,
            max_length=self.length if self.settings.packing else None,  # rows are cut already
            packing=self.settings.packing,
            padding_free=self.apart and self.settings.padding_free,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
