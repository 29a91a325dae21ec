"""A prompt and what should follow it."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError, optional_text
from core.formats.conversation import check_order, side


class Completion(Format):
    """Prompt and completion, each a text or a list of messages."""

    name: ClassVar = "completion"
    title: ClassVar = "Prompt and completion"
    parts: ClassVar = (
        Part("prompt", ("source",)),
        Part("completion", ("response", "output", "target")),
        Part("system", ("system_prompt",), required=False),
    )
    example: ClassVar = {"prompt": "What is 2 + 2?", "completion": "4"}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The prompt is the question, the completion the answer."""
        for part in self.required:
            if mapping[part] not in row:
                raise RowError(SHAPE, f"the column '{mapping[part]}' is missing")
        messages = [
            *side(row[mapping["prompt"]], "user", mapping["prompt"]),
            *side(row[mapping["completion"]], "assistant", mapping["completion"]),
        ]
        system = optional_text(row, mapping, "system")
        if system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        check_order(messages)
        return messages
