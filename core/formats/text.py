"""Plain text without questions and answers."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import Format, Message, Part, Row, RowError, text_of


class Text(Format):
    """One text per row."""

    name: ClassVar = "text"
    title: ClassVar = "Plain text"
    parts: ClassVar = (Part("text", ("content", "document")),)
    example: ClassVar = {"text": "Once upon a time there was a tailor."}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The text as something the model says unasked."""
        text = text_of(row, mapping, "text")
        if not text.strip():
            raise RowError("empty_message", "the text is empty")
        return [{"role": "assistant", "content": text}]
