"""Tool calls inside conversations: one way of writing them, whoever exported the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.formats.base import Message, RowError, kind_of

BAD_CALL = "bad_tool_call"


def read_calls(value: object, where: str) -> list[dict[str, Any]]:
    """The calls of one message, arguments as objects, as chat templates expect them."""
    if not isinstance(value, list) or not value:
        raise RowError(BAD_CALL, f"the tool calls of {where} are {kind_of(value)}, not a list")
    return [_call(call, where) for call in value]


def _call(call: object, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise RowError(BAD_CALL, f"a tool call of {where} names no function")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise RowError(BAD_CALL, f"a tool call of {where} has a function without a name")
    if "arguments" not in function:
        return call
    return call | {"function": function | {"arguments": _arguments(function, where)}}


def _arguments(function: dict[str, Any], where: str) -> dict[str, Any]:
    """OpenAI writes arguments as a text that holds JSON."""
    value = function["arguments"]
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except (ValueError, RecursionError):
            raise RowError(
                BAD_CALL, f"the arguments of '{function['name']}' in {where} are not valid JSON"
            ) from None
    if not isinstance(value, dict):
        raise RowError(
            BAD_CALL, f"the arguments of '{function['name']}' in {where} are {kind_of(value)}"
        )
    return value


def written_call(text: str, where: str) -> list[dict[str, Any]]:
    """A call that ShareGPT exports write as the text of a turn: `{"name", "arguments"}`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(BAD_CALL, f"the function call of {where} is not valid JSON") from None
    calls = value if isinstance(value, list) else [value]
    return read_calls([{"type": "function", "function": call} for call in calls], where)


def check_results(messages: Sequence[Message]) -> None:
    """Raise RowError when a tool answers that nobody has called."""
    called = False
    for index, message in enumerate(messages, start=1):
        if message["role"] == "tool" and not called:
            raise RowError("role_order", f"message {index} is a tool's, and no tool was called")
        called = bool(message.get("tool_calls")) or (called and message["role"] == "tool")
