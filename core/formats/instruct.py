"""Instructions with an optional input, as the Alpaca dataset writes them."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import Format, Message, Part, Row, optional_text, text_of
from core.formats.conversation import check_order, turn


class Instruct(Format):
    """An instruction, perhaps something to work on, and the output wanted."""

    name: ClassVar = "instruct"
    title: ClassVar = "Instructions (instruction, input, output)"
    parts: ClassVar = (
        Part("instruction", ("instruct",)),
        Part("output", ("response", "answer", "completion", "target")),
        Part("input", ("context",), required=False),
        Part("system", ("system_prompt",), required=False),
    )
    example: ClassVar = {"instruction": "Translate to German.", "input": "cat", "output": "Katze"}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """Instruction and input are one question, two lines apart."""
        question = text_of(row, mapping, "instruction")
        given = optional_text(row, mapping, "input")
        if given.strip():
            question = f"{question}\n\n{given}" if question.strip() else given
        messages = turn(
            question, text_of(row, mapping, "output"), optional_text(row, mapping, "system")
        )
        check_order(messages)
        return messages
