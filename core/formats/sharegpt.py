"""Conversations with from and value, as ShareGPT exports write them."""

from collections.abc import Mapping
from typing import ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError, optional_text
from core.formats.conversation import check_order, read_messages

SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "bot": "assistant", "model": "assistant", "system": "system",
    "tool": "tool", "observation": "tool", "function_response": "tool",
    "function_call": "assistant",
}  # fmt: skip


class ShareGpt(Format):
    """A list of `from` and `value` per row."""

    name: ClassVar = "sharegpt"
    title: ClassVar = "ShareGPT conversations (from and value)"
    parts: ClassVar = (
        Part("conversations", ("conversation", "messages", "dialogue", "items")),
        Part("system", ("system_prompt",), required=False),
    )
    example: ClassVar = {
        "conversations": [
            {"from": "human", "value": "What is 2 + 2?"},
            {"from": "gpt", "value": "4"},
        ]
    }

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The turns under the usual role names; a system column comes first."""
        column = mapping["conversations"]
        if column not in row:
            raise RowError(SHAPE, f"the column '{column}' is missing")
        messages = read_messages(
            row[column], column, role_key="from", text_key="value", roles=SPEAKERS
        )
        system = optional_text(row, mapping, "system")
        if system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        check_order(messages)
        return messages
