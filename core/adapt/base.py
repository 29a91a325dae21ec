"""An adaptation says which numbers of a model are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from core.models import ModelFacts
from core.value import Value

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import BitsAndBytesConfig


class Adaptation(Value):
    """A frozen choice that knows its size and how the engine applies it."""

    kind: Any = ""
    title: ClassVar[str]
    summary: ClassVar[str]
    learning_rate: ClassVar[tuple[float, str]]
    """Usual learning rate for models of a billion parameters and more, and its source."""
    trains_base: ClassVar[bool] = False
    """Whether weights of the model itself are trained: the result is a model, not an adapter."""
    readme: ClassVar[str] = ""
    """What is written beside an adapter that PEFT alone cannot load: how to load it."""
    partly: ClassVar[bool] = False
    """Whether only some weights of the model itself are trained; the others stay as they are."""
    packs: ClassVar[bool] = True
    """Whether joined rows stay apart; methods that put tokens of their own before a row mix them
    up without a word."""
    recomputes: ClassVar[bool] = True
    """Whether gradient checkpointing works."""
    merges: ClassVar[bool] = True
    """Whether the result can become part of the model's own weights."""

    @property
    def quantised(self) -> bool:
        """Whether the frozen base is stored in fewer than 16 bits."""
        return False

    def trainable(self, model: ModelFacts) -> int:
        """How many numbers will be trained."""
        raise NotImplementedError

    def reaches(self, model: ModelFacts) -> int:
        """Layers that backward passes through, which therefore keep their activations."""
        return model.layers

    def trains_head(self, model: ModelFacts) -> bool:
        """Whether the output layer gets gradients."""
        return self.trains_base

    def adapts_experts(self, model: ModelFacts) -> bool:
        """Whether the experts of a mixture get adapters, which makes each as large as itself."""
        return False

    def quantisation(self) -> BitsAndBytesConfig | None:
        """How the frozen base is stored; None keeps its own precision. Called by the engine."""
        return None

    def peft_config(self) -> PeftConfig | None:
        """The adapter to add, None when the base itself is trained. Called by the engine."""
        return None

    def prepare(self, model: Any) -> None:
        """Choose which weights of a loaded base are trained; all of them unless an adapter is
        added. Called by the engine before the trainer is made."""
