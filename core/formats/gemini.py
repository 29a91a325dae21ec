"""Conversations with role and parts, as Vertex AI takes them for Gemini and Kiln exports them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError, as_text, kind_of
from core.formats.conversation import check_order, read_messages

ROLES = {"user": "user", "model": "assistant", "function": "tool"}


class Gemini(Format):
    """A list of contents per row, and perhaps an instruction for all of it."""

    name: ClassVar = "gemini"
    title: ClassVar = "Gemini conversations (role and parts)"
    parts: ClassVar = (
        Part("contents"),
        Part("systeminstruction", ("system_instruction",), required=False),
    )
    example: ClassVar = {
        "contents": [
            {"role": "user", "parts": [{"text": "What is 2 + 2?"}]},
            {"role": "model", "parts": [{"text": "4"}]},
        ]
    }

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The turns under the usual role names; the instruction comes first."""
        column = mapping["contents"]
        if column not in row:
            raise RowError(SHAPE, f"the column '{column}' is missing")
        messages = read_messages(
            _told(row[column]), column, role_key="role", text_key="parts", roles=ROLES
        )
        column = mapping.get("systeminstruction", "")
        if row.get(column) is not None:
            messages = [{"role": "system", "content": _instruction(row[column], column)}, *messages]
        check_order(messages)
        return messages


def _told(value: object) -> object:
    """The contents with their parts marked as text, where they are."""
    if not isinstance(value, list):
        return value
    return [
        turn | {"parts": [_marked(part) for part in turn["parts"]]}
        if isinstance(turn, dict) and isinstance(turn.get("parts"), list)
        else turn
        for turn in value
    ]


def _marked(part: Any) -> Any:
    """A part as other services write it; what is no text is named by its key."""
    if not isinstance(part, dict):
        return part
    return {"type": "text", **part} if "text" in part else {"type": next(iter(part), "nothing")}


def _instruction(value: object, column: str) -> str:
    parts = value.get("parts") if isinstance(value, dict) else None
    if not isinstance(parts, list):
        raise RowError(SHAPE, f"'{column}' is {kind_of(value)}, an object with parts was expected")
    return "".join(
        as_text(part.get("text") if isinstance(part, dict) else part, f"a part of '{column}'")
        for part in parts
    )
