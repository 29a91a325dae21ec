"""A better and a worse answer to one prompt."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError
from core.formats.conversation import check_order, side


class Preference(Format):
    """Prompt, chosen and rejected; without a prompt both answers are whole conversations."""

    name: ClassVar = "preference"
    title: ClassVar = "Preferences (chosen and rejected)"
    parts: ClassVar = (
        Part("chosen", ("preferred", "preferred_output")),
        Part("rejected", ("dispreferred", "non_preferred_output")),
        Part("prompt", ("question", "instruction", "input"), required=False),
    )
    example: ClassVar = {
        "prompt": "What is 2 + 2?",
        "chosen": "4",
        "rejected": "About five, I think.",
    }

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The conversation with the chosen answer; the rejected one must be readable too."""
        for part in self.required:
            if mapping[part] not in row:
                raise RowError(SHAPE, f"the column '{mapping[part]}' is missing")
        chosen, rejected = (self._with(row, mapping, part) for part in self.required)
        for messages in (chosen, rejected):
            check_order(messages)
        if chosen == rejected:
            raise RowError("same_answers", "the chosen and the rejected answer are the same")
        if chosen[:-1] != rejected[:-1]:
            raise RowError("two_questions", "the conversations differ before the last answer")
        return chosen

    def rejected(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The conversation with the rejected answer."""
        return self._with(row, mapping, "rejected")

    def _with(self, row: Row, mapping: Mapping[str, str], part: str) -> list[Message]:
        answer = side(row[mapping[part]], "assistant", mapping[part])
        prompt = row.get(mapping.get("prompt", ""))
        if not prompt or answer[0]["role"] != "assistant":
            return answer
        return [*side(prompt, "user", mapping["prompt"]), *answer]
