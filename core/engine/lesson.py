"""What a run does in its own way for each objective; core.engine.run does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainingArguments

from core.dataset import Example
from core.draft import Settings
from core.engine.encode import AnyEncoded, Progress
from core.engine.load import load_model
from core.engine.rows import Warn, gather
from core.engine.score import answers, padding
from core.engine.trainer import Measure, Watched
from core.events import Answer
from core.recipe import Recipe


class Lesson(ABC, Generic[AnyEncoded]):
    """The rows of a run, how a model is measured on them, and which of TRL's trainers learns."""

    trainer: ClassVar[type[Watched]]
    judged: ClassVar[bool]
    """Whether an answer is right or wrong; else it is only shown."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        tokenizer: PreTrainedTokenizerBase,
        warn: Warn,
        progress: Progress,
    ) -> None:
        self.recipe, self.settings = recipe, settings
        self.tokenizer, self.pad = tokenizer, padding(tokenizer)
        self.corpus = gather(recipe, tokenizer, self.encode, warn, progress)
        self.length = self.corpus.length
        self.look(warn)

    def look(self, warn: Warn) -> None:
        """Sift the rows further, and tell what is unwise about them. Raises DataError."""

    @staticmethod
    @abstractmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[AnyEncoded]:
        """Examples as tokens. Raises DataError or ModelError."""

    def load(self, folder: Path, settings: Settings) -> Any:
        """The base model on its device. Raises ModelError."""
        return load_model(folder, self.recipe, settings)

    def prepare(self, model: Any, progress: Progress) -> None:
        """Look at the model as it is before training, on every start of the engine."""

    def peft_config(self) -> Any:
        """The adapter to add, None when the base itself is trained."""
        return self.recipe.adaptation.peft_config()

    def answers(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        progress: Progress | None = None,
    ) -> list[Answer]:
        """What a model says to each example."""
        return answers(model, tokenizer, examples, self.recipe.checks.answer_length, progress)

    def extras(self) -> dict[str, Any]:
        """What the trainer is given beside what every trainer is."""
        return {}

    @abstractmethod
    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """What a model makes of the held-out rows."""

    @abstractmethod
    def dataset(self) -> Dataset:
        """The training rows as the trainer's collator reads them."""

    def places(self) -> list[int | str]:
        """Where each row of the dataset stands; empty where several are joined to one."""
        return [row.place for row in self.corpus.train]

    @abstractmethod
    def lengths(self, dataset: Dataset) -> list[int]:
        """Tokens of each row; of the longer answer where there are two."""

    @abstractmethod
    def arguments(self, common: dict[str, Any]) -> TrainingArguments:
        """The trainer's arguments: those of every objective, and those of this one."""
