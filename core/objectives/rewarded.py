"""What every objective has that learns from rewards of the model's own answers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from core.objectives.base import Objective
from core.rewards import AnyReward, Exact

MOST = 20


def _some(rewards: tuple[AnyReward, ...]) -> tuple[AnyReward, ...]:
    """At least one; told only when every entry is sound, unlike a limit of the field."""
    if not 1 <= len(rewards) <= MOST:
        raise PydanticCustomError("rewards", "1 to {most} rewards are needed", {"most": MOST})
    return rewards


class Rewarded(Objective):
    """Answer the questions of the dataset, and make likelier what was rewarded."""

    formats: ClassVar = ("prompts", "instruct", "completion", "chat", "sharegpt", "gemini")
    rate_share: ClassVar = (
        0.1,
        "a tenth of it for rewards: larger steps leave the language behind "
        "(published recipes: 1e-6 in full, 1e-5 to 2e-5 with LoRA)",
    )
    most_raised: ClassVar = 5.0
    most_measured: ClassVar = (
        100,
        "every evaluation answers them anew, and as many tell the mean reward to a tenth of its "
        "spread",
    )

    rewards: Annotated[tuple[AnyReward, ...], AfterValidator(_some)] = Field(
        (Exact(),),
        title="Rewards",
        description="What makes an answer good; several are summed, each times its weight. Each "
        "entry has a kind: exact, contains, regex, json_schema, length, model or python.",
    )
    longest_answer: int = Field(
        128,
        ge=1,
        le=32_768,
        title="Longest answer",
        description="Tokens an answer may have while training; longer ones are cut and rewarded "
        "as they are.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=2,
        title="Temperature",
        description="How freely answers are drawn. 1 draws as the model believes; lower finds "
        "less that is new.",
    )

    @property
    def room(self) -> int:
        """As long as an answer may be."""
        return self.longest_answer

    @property
    def compares(self) -> bool:
        """Whether any reward looks at the expected answer."""
        return any(reward.compares for reward in self.rewards)


class Grouped(Rewarded):
    """Several answers to each question, compared with each other."""

    counted_as: ClassVar = "grpo"

    answers_per_prompt: int = Field(
        8,
        ge=2,
        le=1024,
        title="Answers per question",
        description="Answers are judged by how much better they are than the others to the same "
        "question, so some must be good and some bad. Usual: 4 to 16. The effective batch counts "
        "answers and must hold whole groups.",
    )
    clip: float = Field(
        0.2,
        gt=0,
        lt=1,
        title="Clip",
        description="How far the likelihood of a token may move before its gradient is cut off. "
        "Matters with more than one iteration.",
    )
    iterations: int = Field(
        1,
        ge=1,
        le=16,
        title="Iterations",
        description="Steps taken on the same answers. 1 is the safest; more save time on "
        "generating.",
    )

    @property
    def answers(self) -> int:
        """So many to each question."""
        return self.answers_per_prompt

    @property
    def passes(self) -> int:
        """Steps on the same answers."""
        return self.iterations
