"""Supervised fine-tuning: imitate the answers of the examples."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from core.objectives.base import Objective

_SWITCH = BeforeValidator(lambda given: ("off", "on")[given] if isinstance(given, bool) else given)
"""Recipes of earlier versions say true or false, and YAML reads a bare `on` as true."""


class SFT(Objective):
    """Imitate example answers; only the assistant's words are learned."""

    kind: Literal["sft"] = "sft"
    title: ClassVar = "Imitate examples (SFT)"
    summary: ClassVar = (
        "Learns to answer like your examples: a format, a tone, a skill. The first step of nearly "
        "every fine-tune."
    )
    formats: ClassVar = ("chat", "sharegpt", "gemini", "instruct", "completion", "prompts")

    packing: Annotated[Literal["auto", "on", "off"], _SWITCH] = Field(
        "auto",
        title="Packing",
        description="Join short examples into full sequences, so that every step computes as much "
        "as fits. Faster on a GPU when most rows are much shorter than the maximum length; rows "
        "never see each other. Auto decides by the rows, the method and the GPU.",
    )

    @property
    def joining(self) -> Literal["auto", "on", "off"]:
        """As chosen."""
        return self.packing
