"""Supervised fine-tuning: imitate the answers of the examples."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Joining, Objective, Packing


class SFT(Objective):
    """Imitate example answers; only the assistant's words are learned."""

    kind: Literal["sft"] = "sft"
    title: ClassVar = "Imitate examples (SFT)"
    summary: ClassVar = (
        "Learns to answer like your examples: a format, a tone, a skill. The first step of nearly "
        "every fine-tune."
    )
    formats: ClassVar = ("chat", "sharegpt", "gemini", "instruct", "completion", "prompts")
    aims_at_words: ClassVar = True

    packing: Packing = Field(
        "auto",
        title="Packing",
        description="Join short examples into full sequences, so that every step computes as much "
        "as fits. Faster on a GPU when most rows are much shorter than the maximum length; rows "
        "never see each other. Auto decides by the rows, the method and the GPU.",
    )

    @property
    def divisible(self) -> bool:
        """Tokens count alike in a whole step."""
        return True

    @property
    def joining(self) -> Joining:
        """As chosen."""
        return self.packing
