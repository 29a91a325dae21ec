"""Continued pretraining: read on, word by word (Gururangan et al. 2020, arXiv 2004.10964)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Joining, Objective, Packing


class Pretrain(Objective):
    """Learn every token of plain texts, as in the model's first training."""

    kind: Literal["pretrain"] = "pretrain"
    family: ClassVar = "From texts"
    title: ClassVar = "Read texts (continued pretraining)"
    summary: ClassVar = (
        "Learns the language and the facts of plain texts: a subject, a language, a style. Also "
        "for base models without a chat template; an answering model forgets some of its manners."
    )
    formats: ClassVar = ("text",)
    counted_as: ClassVar = "sft"
    chats: ClassVar = False
    aims_at_words: ClassVar = True

    packing: Packing = Field(
        "on",
        title="Packing",
        description="Join short texts into full sequences so that no step is spent on padding; "
        "texts never see each other. Longer texts are parted, so that none loses its end.",
    )

    @property
    def divisible(self) -> bool:
        """Tokens count alike in a whole step."""
        return True

    @property
    def joining(self) -> Joining:
        """As chosen."""
        return self.packing
