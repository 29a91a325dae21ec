"""Distillation: rows like those of imitation, learned from a teacher's opinion of every token.

TRL's DistillationTrainer learns from own answers alone, which it generates from texts that it
renders itself; its GKDTrainer learns from given answers too, from the logits of every token at
once. So the trainer is that of imitation, with the loss of GKDTrainer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.checkpoint import checkpoint
from trl.experimental.gkd import GKDTrainer

from core import models
from core.draft import Settings
from core.engine.encode import IGNORED, Progress
from core.engine.imitate import Imitate
from core.engine.load import open_weights
from core.engine.quiet import Quiet
from core.engine.score import batches, ends, extend, joined, measuring, padding, predictions
from core.engine.trainer import Measure, Watched
from core.memory.loss import PART
from core.objectives import Distill
from core.teachers import look_at_teacher, refuse_stranger

Opinions = tuple[torch.Tensor, torch.Tensor]
"""Logits of the model and of the teacher where a token is trained, each places x vocabulary."""


class Compared(Quiet):
    """Learns from rows, or from own answers to their questions, what the teacher thinks of them."""

    teacher: Any
    goal: Distill
    least = 0
    """Tokens that an own answer has at least."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Divergence from the teacher, over the trained tokens of the whole step."""
        mine, theirs = opinions(model, self.teacher, inputs)
        self.count_read(inputs)
        tokens = len(mine) if num_items_in_batch is None else num_items_in_batch
        return divergence(mine, theirs, self.goal) / torch.as_tensor(tokens).clamp(min=1)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The batches of a step; their tokens are counted once own answers have taken places."""
        given, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not self.goal.own_answers:
            return given, tokens
        taken = [self._perhaps_own(batch, place) for place, batch in enumerate(given)]
        return taken, self._get_num_items_in_batch(taken, device)

    def _perhaps_own(self, batch: dict[str, Any], place: int) -> dict[str, Any]:
        """Decided and drawn by the numbers of step and batch, so that a run goes on exactly."""
        chance = random.Random(f"{self.args.seed} {self.state.global_step} {place}")
        if chance.random() >= self.goal.own_answers:
            return batch
        questions = [_question(*row) for row in zip(batch["input_ids"], batch["labels"])]  # noqa: B905
        model, tokenizer = self.accelerator.unwrap_model(self.model), self.processing_class
        made = extend(
            model, tokenizer, questions, self.goal.longest_answer, chance.getrandbits(32),
            do_sample=True, top_k=0, min_new_tokens=self.least,
        )  # fmt: skip
        last = set(ends(model, tokenizer))
        answers = [_until(row, last) for row in made.tolist()]
        rows = [
            (question + answer, [IGNORED] * len(question) + answer)
            for question, answer in zip(questions, answers, strict=True)
        ]
        return joined(rows, padding(tokenizer), model.device)


class StudentTrainer(Watched, Compared):
    """Distillation on rows that are encoded already."""

    def __init__(self, watch: Any, teacher: Any, goal: Distill, **arguments: Any) -> None:
        self.teacher, self.goal = teacher, goal
        super().__init__(watch, **arguments)

    def make_large(self) -> None:
        """Only own answers, which are generated, and do not end before they are cut."""
        if self.goal.own_answers:
            self.goal = self.goal.model_copy(update={"own_answers": 1.0})
            self.least = self.goal.longest_answer


class Taught(Imitate):
    """Learns what the teacher thinks of the marked tokens of each row."""

    trainer: ClassVar[type[Watched]] = StudentTrainer

    @property
    def objective(self) -> Distill:
        """The teacher, and how it is compared with."""
        assert isinstance(self.recipe.objective, Distill)
        return self.recipe.objective

    def load(self, folder: Path, settings: Settings) -> Any:
        """The base model, and beside it the teacher as a frozen model is. Raises ModelError."""
        teacher = look_at_teacher(self.objective.teacher)
        refuse_stranger(models.look(folder), teacher)
        dtype = torch.bfloat16 if settings.bf16 else torch.float32
        self.teacher = open_weights(teacher.path, settings.device, dtype)
        self.teacher.eval().requires_grad_(False)
        return super().load(folder, settings)

    def extras(self) -> dict[str, Any]:
        """The teacher stands outside of the model, so that nothing trains or saves it."""
        return {"teacher": self.teacher, "goal": self.objective}

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Divergence per trained token, and how often both find the same token likeliest."""
        rows, words = self.corpus.heldout, model.config.get_text_config().vocab_size
        loss, same, tokens, done = 0.0, 0, 0, 0
        with measuring(model):
            for places in batches(rows, self.length, 2 * words):  # the logits of two models
                cut = [rows[place].cut(self.length) for place in places]
                mine, theirs = opinions(model, self.teacher, joined(cut, self.pad, model.device))
                loss += divergence(mine, theirs, self.objective).item()
                same += int((mine.argmax(-1) == theirs.argmax(-1)).sum())
                tokens, done = tokens + len(mine), done + len(places)
                if progress:
                    progress(done, len(rows))
        return Measure(loss / max(1, tokens), metrics={"agreement": same / max(1, tokens)})


def opinions(model: Any, teacher: Any, inputs: dict[str, torch.Tensor]) -> Opinions:
    """What both think of the trained tokens of a batch; only the model's way there is kept."""
    trained = inputs["labels"][:, 1:] != IGNORED
    with torch.no_grad():
        theirs = predictions(teacher, inputs)[trained]
    return predictions(model, inputs)[trained], theirs


def divergence(mine: torch.Tensor, theirs: torch.Tensor, goal: Distill) -> torch.Tensor:
    """Sum over places of the generalised Jensen-Shannon divergence (arXiv 2306.13649, eq. 1).

    A part of the places at a time, and again for the gradient: what lies between takes many times
    the room of the logits.
    """
    size = max(1, PART // mine.shape[-1])
    parts = zip(mine.split(size), theirs.split(size), strict=True)
    each = [
        checkpoint(_part, *part, goal, use_reentrant=False, preserve_rng_state=False)
        for part in parts
    ]
    return torch.stack(each).sum()


def _part(mine: torch.Tensor, theirs: torch.Tensor, goal: Distill) -> torch.Tensor:
    found: torch.Tensor = GKDTrainer.generalized_jsd_loss(
        mine.float(),
        theirs.float(),
        beta=goal.beta,
        temperature=goal.temperature,
        reduction="sum",
    )
    return found


def _question(ids: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """What stands before the first trained token."""
    known: list[int] = ids[: int((labels != IGNORED).int().argmax())].tolist()
    return known


def _until(tokens: list[int], last: set[int]) -> list[int]:
    """Tokens up to the first that ends an answer."""
    end = next((place for place, token in enumerate(tokens) if token in last), len(tokens))
    return tokens[: end + 1]
