"""Methods that leave every weight alone and train places before the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.adapt.base import Adaptation
from core.adapt.storage import base_field
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig


class VirtualTokens(Adaptation):
    """Trained places that every row begins with."""

    packs: ClassVar = False
    merges: ClassVar = False
    base: Literal["own", "nf4", "int8"] = base_field()
    tokens: int = Field(
        20,
        ge=1,
        le=512,
        title="Places",
        description="How many trained places stand before every row; they use up that much of "
        "the model's context. Usual: 10 to 100 (prompt tuning paper, arXiv 2104.08691).",
    )

    @property
    def virtual_tokens(self) -> int:
        """As chosen."""
        return self.tokens


class _Prefix(VirtualTokens):
    recomputes: ClassVar = False

    def _keys_and_values(self, model: ModelFacts) -> int:
        return 2 * model.layers * model.kv_heads * model.head_dim


class PrefixTuning(_Prefix):
    """Keys and values before the row, made by a small network (arXiv 2101.00190)."""

    kind: Literal["prefix"] = "prefix"
    family: ClassVar = "Learned prompts"
    title: ClassVar = "Prefix tuning"
    summary: ClassVar = (
        "Trains keys and values that every layer sees before the row, made by a small network that "
        "is thrown away afterwards, which steadies training. For one narrow task per prefix."
    )
    learning_rate: ClassVar = (1e-3, "1e-3 to 1e-2, above the 5e-5 of the paper's long runs")
    reparametrised: ClassVar = True
    width: int = Field(
        512,
        ge=8,
        le=8192,
        title="Width of the network",
        description="Inner width of the network that makes the prefix. It is most of what is "
        "trained. Usual: 512 to 800 (prefix-tuning paper).",
    )

    def trainable(self, model: ModelFacts) -> int:
        """An embedding of the places and two layers with biases."""
        inner, made = model.kv_heads * model.head_dim, self._keys_and_values(model)
        return self.tokens * inner + (inner + 1) * self.width + (self.width + 1) * made

    def peft_config(self) -> PrefixTuningConfig:
        """PEFT's settings for this choice."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(
            num_virtual_tokens=self.tokens,
            prefix_projection=True,
            encoder_hidden_size=self.width,
            task_type="CAUSAL_LM",
        )


class PTuning2(_Prefix):
    """Keys and values before the row, trained directly (arXiv 2110.07602)."""

    kind: Literal["p-tuning-v2"] = "p-tuning-v2"
    family: ClassVar = "Learned prompts"
    title: ClassVar = "P-tuning v2"
    summary: ClassVar = (
        "Trains keys and values that every layer sees before the row: prefix tuning without the "
        "network, also called deep prompts. Small, and wants a high learning rate."
    )
    learning_rate: ClassVar = (5e-3, "5e-3 to 2e-2 in the P-tuning v2 code")

    def trainable(self, model: ModelFacts) -> int:
        """Keys and values of every layer."""
        return self.tokens * self._keys_and_values(model)

    def peft_config(self) -> PrefixTuningConfig:
        """PEFT's settings for this choice."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(num_virtual_tokens=self.tokens, task_type="CAUSAL_LM")


class PTuning(VirtualTokens):
    """Words before the row, made by a small network (arXiv 2103.10385)."""

    kind: Literal["p-tuning"] = "p-tuning"
    family: ClassVar = "Learned prompts"
    title: ClassVar = "P-tuning"
    summary: ClassVar = (
        "Trains words that exist in no vocabulary and stand before every row, made by a small "
        "network that is thrown away afterwards. Reaches less deep than a prefix."
    )
    learning_rate: ClassVar = (1e-3, "1e-3, as in PEFT's guide to p-tuning")
    reparametrised: ClassVar = True
    width: int = Field(
        256,
        ge=8,
        le=8192,
        title="Width of the network",
        description="Inner width of the network that makes the words. Usual: 128 to 1024.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """An embedding of the places and three layers with biases."""
        hidden, width = model.hidden, self.width
        layers = (hidden + 1) * width + (width + 1) * width + (width + 1) * hidden
        return self.tokens * hidden + layers

    def peft_config(self) -> PromptEncoderConfig:
        """PEFT's settings for this choice."""
        from peft import PromptEncoderConfig

        return PromptEncoderConfig(
            num_virtual_tokens=self.tokens, encoder_hidden_size=self.width, task_type="CAUSAL_LM"
        )


class PromptTuning(VirtualTokens):
    """Words before the row, trained directly (Lester et al. 2021, arXiv 2104.08691)."""

    kind: Literal["prompt"] = "prompt"
    family: ClassVar = "Learned prompts"
    title: ClassVar = "Prompt tuning"
    summary: ClassVar = (
        "Trains words that exist in no vocabulary and stand before every row; the smallest method "
        "of all. Comes close to others on models of ten billion parameters and more, not below."
    )
    learning_rate: ClassVar = (3e-2, "3e-2 in PEFT's examples; 0.3 with Adafactor in the paper")
    init: Literal["vocabulary", "random"] = Field(
        "vocabulary",
        title="Beginning",
        description="Words the places begin with: drawn from the vocabulary, which the paper found "
        "better, or random numbers.",
    )

    def trainable(self, model: ModelFacts) -> int:
        """One word per place."""
        return self.tokens * model.hidden

    def peft_config(self) -> PromptTuningConfig:
        """PEFT's settings for this choice."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(
            num_virtual_tokens=self.tokens,
            prompt_tuning_init="SAMPLE_VOCAB" if self.init == "vocabulary" else "RANDOM",
            task_type="CAUSAL_LM",
        )
