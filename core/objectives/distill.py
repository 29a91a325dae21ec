"""Distillation (Hinton et al. 2015, arXiv 1503.02531), as GKD does it (arXiv 2306.13649)."""

from typing import ClassVar, Literal

from pydantic import Field

from core.objectives.base import Objective
from core.objectives.sft import SFT
from core.value import FOLDER


class Distill(Objective):
    """Give every next token the likelihood that a teacher gives it."""

    kind: Literal["distill"] = "distill"
    family: ClassVar = "From a teacher"
    title: ClassVar = "Learn from a teacher (distillation)"
    summary: ClassVar = (
        "Learns what a larger or better model thinks at every token of the answers, not only "
        "which token stands there. The teacher must share the tokenizer. The library calls its "
        "loss experimental."
    )
    formats: ClassVar = SFT.formats
    stable: ClassVar = False
    looks_back: ClassVar = 1
    keeps_logits: ClassVar = True

    teacher: str = Field(
        "",
        title="Teacher",
        description="A model's folder, a Hub id that is on this computer, or the merged model of "
        "a run. It is loaded beside the model, and never changed.",
        json_schema_extra={FOLDER: True},
    )
    beta: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Beta",
        description="0 learns to say all that the teacher might (forward KL), 1 to say only what "
        "the teacher would (reverse KL); between, both are compared with their mixture "
        "(generalised Jensen-Shannon). Usual: 0 for given answers, 0.5 to 1 for own ones.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=10,
        title="Temperature",
        description="Higher shows more of what the teacher thinks of unlikely tokens; the loss "
        "and its gradient get smaller with it. Usual: 1 to 2.",
    )
    own_answers: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Share of own answers",
        description="Share of batches in which the model answers the first question of each row "
        "by itself and learns what the teacher thinks of that (lambda in the GKD paper). 0 learns "
        "from the dataset's answers alone, and is much faster. Usual: 0, 0.5 or 1.",
    )
    longest_answer: int = Field(
        128,
        ge=1,
        le=32_768,
        title="Longest own answer",
        description="Tokens an own answer may have while training; longer ones are cut.",
    )

    @property
    def divisible(self) -> bool:
        """Tokens count alike; own answers would be drawn anew."""
        return not self.own_answers

    @property
    def writes(self) -> int:
        """An own answer follows a question that may be as long as a row."""
        return self.longest_answer if self.own_answers else 0
