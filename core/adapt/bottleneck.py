"""Bottleneck adapters: small networks behind the parts of each layer.

Houlsby et al. 2019 (arXiv 1902.00751) put one behind attention and one behind feed-forward,
Pfeiffer et al. 2020 (arXiv 2005.00247) one behind feed-forward alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from core.adapt.base import Adaptation
from core.adapt.storage import base_field
from core.errors import ModelError
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import PeftConfig

PARTS = {"pfeiffer": ("mlp",), "houlsby": ("self_attn", "mlp")}
"""The parts of a layer that get an adapter, by their names in Llama and its relatives."""
OTHERWISE = ("GPT2", "GPTNeo", "GPTJ", "GPTBigCode", "Bloom", "Falcon", "Mpt", "OPT", "Mamba")
"""Families whose layers call their parts by other names."""


_README = """# Bottleneck adapter

PEFT does not know this type of adapter; the package that trained it teaches PEFT to load it:

```python
from core.adapt.bottleneck import teach_peft
from peft import PeftModel
from transformers import AutoModelForCausalLM

teach_peft()
base = AutoModelForCausalLM.from_pretrained("folder of the base model")
model = PeftModel.from_pretrained(base, "folder of this file")
```

It cannot be merged into the base model, because it is not linear.
"""


def teach_peft() -> None:
    """Make the type known to PEFT, which must be done before one is made or loaded."""
    from core.adapt import bottleneck_tuner

    bottleneck_tuner.register()


class Bottleneck(Adaptation):
    """Adapters in series with the frozen parts of each layer."""

    kind: Literal["bottleneck"] = "bottleneck"
    family: ClassVar = "Small inserts"
    title: ClassVar = "Bottleneck adapters"
    summary: ClassVar = (
        "Trains a small network behind each layer of the frozen model. It stays a part of its own: "
        "it is not linear, so it cannot be merged into the weights and makes answering slower."
    )
    merges: ClassVar = False
    readme: ClassVar = _README
    learning_rate: ClassVar = (3e-4, "middle of the 3e-5 to 3e-3 of Houlsby et al. (1902.00751)")
    size: int = Field(
        64,
        ge=1,
        le=4096,
        title="Size",
        description="Width of the small networks. Higher learns more and uses more memory. Houlsby "
        "et al. tried 8 to 256.",
    )
    placement: Literal["pfeiffer", "houlsby"] = Field(
        "pfeiffer",
        title="Placement",
        description="pfeiffer: behind the feed-forward part of each layer; houlsby: behind "
        "attention too, which doubles what is trained.",
    )
    activation: Literal["relu", "gelu", "silu"] = Field(
        "relu", title="Activation", description="The function in the middle of the small networks."
    )
    base: Literal["own", "nf4"] = base_field()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a layer that get an adapter."""
        return PARTS[self.placement]

    def trainable(self, model: ModelFacts) -> int:
        """Two matrices and two biases per adapter."""
        one = 2 * model.hidden * self.size + self.size + model.hidden
        return model.layers * len(self.parts) * one

    def peft_config(self) -> PeftConfig:
        """Settings of our own type of adapter, made known to PEFT."""
        from core.adapt.bottleneck_tuner import BottleneckConfig

        teach_peft()
        return BottleneckConfig(
            size=self.size,
            activation=self.activation,
            target_modules=rf".*\.layers\.\d+\.({'|'.join(self.parts)})",
            task_type="CAUSAL_LM",
        )

    def prepare(self, model: Any) -> None:
        """Refuse a model whose layers have other parts. Raises ModelError."""
        layers = getattr(model.get_decoder(), "layers", None)
        whole = layers and all(hasattr(layer, part) for layer in layers for part in self.parts)
        if not whole:
            raise ModelError(
                f"{type(model).__name__} has no {' and '.join(self.parts)} in each of its layers, "
                "behind which the adapters would go.",
                hint="Choose LoRA, or a model such as Llama, Qwen, Mistral or Gemma.",
            )
