"""Partial training: the last layers of a model, with the rest of it frozen."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from core.adapt.base import Adaptation
from core.errors import ModelError
from core.models import ModelFacts


class Freeze(Adaptation):
    """Train the last layers, and other parts if chosen."""

    kind: Literal["freeze"] = "freeze"
    family: ClassVar = "Part of the model"
    title: ClassVar = "Last layers"
    summary: ClassVar = (
        "Trains every weight of the last layers and freezes the rest. The result is a whole model. "
        "Layers before them need no memory for gradients."
    )
    trains_base: ClassVar = True
    partly: ClassVar = True
    learning_rate: ClassVar = (2e-5, "as in full fine-tuning, 1e-5 to 5e-5")
    last: int = Field(
        2,
        ge=1,
        le=1000,
        title="Layers",
        description="How many layers are trained, counted from the output. More than the model "
        "has means all of them.",
    )
    norms: bool = Field(
        False,
        title="Norms and biases",
        description="Also train the norms and biases of the frozen layers, and the last norm. Few "
        "numbers, but gradients then pass through all layers.",
    )
    embeddings: bool = Field(
        False,
        title="Embeddings",
        description="Also train the table of token embeddings; gradients then pass through all "
        "layers.",
    )
    head: bool = Field(
        False,
        title="Output layer",
        description="Also train the output layer. Where it shares its weights with the embeddings, "
        "they change too.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """Numbers of the chosen layers and parts, where all layers of the model are alike."""
        table = model.vocab * model.hidden
        tables = table * (1 if model.tied else 2)
        layer = (model.parameters - tables - model.hidden) // model.layers
        last = min(self.last, model.layers)
        count = last * layer + table * self._tables(model)
        if self.norms:
            count += (model.layers - last) * (layer - _matrices(model)) + model.hidden
        return count

    def reaches(self, model: ModelFacts) -> int:
        """Backward ends at the first part that is trained."""
        ends_early = not (self.norms or self.trains_embeddings(model))
        return self.renews(model) if ends_early else model.layers

    def renews(self, model: ModelFacts) -> int:
        """The last ones alone."""
        return min(self.last, model.layers)

    def trains_head(self, model: ModelFacts) -> bool:
        """Also when it shares its weights with trained embeddings."""
        return self.head or (model.tied and self.embeddings)

    def trains_embeddings(self, model: ModelFacts) -> bool:
        """Also when they share their weights with a trained output layer."""
        return self.embeddings or (model.tied and self.head)

    def prepare(self, model: Any) -> None:
        """Freeze all but the chosen parts. Raises ModelError when they are not found."""
        decoder = model.get_decoder()
        layers: Any = getattr(decoder, "layers", None)
        norm: Any = getattr(decoder, "norm", None)
        if not layers or (self.norms and norm is None):
            raise ModelError(
                f"The layers of {type(model).__name__} are not where they are looked for.",
                hint="Choose LoRA, or a model such as Llama, Qwen, Mistral or Gemma.",
            )
        model.requires_grad_(False)
        for part in layers[-self.last :]:
            part.requires_grad_(True)
        if self.norms:
            _train_vectors(layers)
            norm.requires_grad_(True)
        if self.embeddings:
            model.get_input_embeddings().requires_grad_(True)
        score: Any = getattr(model, "score", None)  # of a reward model, in place of the words
        if score is not None:
            score.requires_grad_(True)
        elif self.head:
            model.get_output_embeddings().requires_grad_(True)

    def _tables(self, model: ModelFacts) -> int:
        chosen = self.embeddings + self.head
        return min(1, chosen) if model.tied else chosen


def _matrices(model: ModelFacts) -> int:
    """Numbers of one layer that are no norm and no bias: matrices, experts and their router."""
    linear = sum(rows * columns for rows, columns in model.linear.values())
    return linear + model.experts * model.hidden * (3 * model.expert_width + 1)


def _train_vectors(layers: Any) -> None:
    for parameter in layers.parameters():
        if parameter.ndim == 1:
            parameter.requires_grad_(True)
