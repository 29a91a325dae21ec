"""Conversations with role and content, as chat services and most libraries write them."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError
from core.formats.conversation import ROLES, check_order, read_messages


class Chat(Format):
    """A list of messages per row."""

    name: ClassVar = "chat"
    title: ClassVar = "Conversations (role and content)"
    parts: ClassVar = (
        Part("messages", ("conversation", "conversations", "chat", "dialogue", "turns")),
    )
    example: ClassVar = {
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "4"},
        ]
    }

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The messages as they are."""
        column = mapping["messages"]
        if column not in row:
            raise RowError(SHAPE, f"the column '{column}' is missing")
        messages = read_messages(
            row[column], column, role_key="role", text_key="content", roles=ROLES
        )
        check_order(messages)
        return messages
