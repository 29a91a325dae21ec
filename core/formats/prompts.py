"""A question and its one right answer, which can be checked word by word."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import Format, Message, Part, Row, optional_text, text_of
from core.formats.conversation import check_order, turn


class Prompts(Format):
    """Prompt and answer."""

    name: ClassVar = "prompts"
    title: ClassVar = "Questions with known answers"
    parts: ClassVar = (
        Part("prompt", ("question", "query", "problem", "input")),
        Part("answer", ("response", "solution", "reply", "label", "target", "output")),
        Part("system", ("system_prompt",), required=False),
    )
    example: ClassVar = {"prompt": "What is 2 + 2?", "answer": "4"}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """One question, one answer."""
        messages = turn(
            text_of(row, mapping, "prompt"),
            text_of(row, mapping, "answer"),
            optional_text(row, mapping, "system"),
        )
        check_order(messages)
        return messages
