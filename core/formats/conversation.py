"""Conversations: messages with a role and a content, and the order they must have."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.formats.base import SHAPE, Message, RowError, as_text, kind_of
from core.formats.tools import check_results, read_calls, written_call

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant",
         "tool": "tool"}  # fmt: skip
"""Roles of chat datasets; "developer" is the newer name of "system"."""
CALLS = ("function_call",)
"""Roles whose whole text is a call of a tool."""


def read_messages(
    value: object, column: str, *, role_key: str, text_key: str, roles: Mapping[str, str]
) -> list[Message]:
    """A list of messages under common names. Raises RowError."""
    entries = _as_list(value, column)
    return [
        _message(entry, f"{column}[{index}]", role_key, text_key, roles)
        for index, entry in enumerate(entries)
    ]


def _as_list(value: object, column: str) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)  # a cell of a table holds its list as text
        except (ValueError, RecursionError):
            raise RowError(SHAPE, f"'{column}' is text that is not a list of messages") from None
    if not isinstance(value, list):
        raise RowError(SHAPE, f"'{column}' is {kind_of(value)}, a list of messages was expected")
    if not value:
        raise RowError("empty_message", f"'{column}' is an empty list")
    return value


def _message(
    entry: object, where: str, role_key: str, text_key: str, roles: Mapping[str, str]
) -> Message:
    if not isinstance(entry, dict):
        raise RowError(SHAPE, f"{where} is {kind_of(entry)}, a message was expected")
    for key in (role_key, text_key):
        if key not in entry and not (key == text_key and entry.get("tool_calls")):
            raise RowError(SHAPE, f"{where} has no '{key}'; it has {_names(entry)}")
    more = {key: held for key, held in entry.items()
            if key not in (role_key, text_key) and held is not None}  # fmt: skip
    role = _role(entry[role_key], where, roles)
    text = _content(entry.get(text_key), where, more)
    if entry[role_key] in CALLS:
        return {"role": role, "content": "", **more, "tool_calls": written_call(text, where)}
    if more.get("tool_calls"):
        more["tool_calls"] = read_calls(more["tool_calls"], where)
    return {"role": role, "content": text, **more}


def _names(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"'{key}'" for key in list(entry)[:6]) or "nothing"


def _role(found: object, where: str, roles: Mapping[str, str]) -> str:
    if isinstance(found, str) and found in roles:
        return roles[found]
    close = difflib.get_close_matches(str(found), roles, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known roles: {', '.join(roles)}"
    raise RowError("bad_role", f"{where} has the role {str(found)!r:.40}; {hint}")


def _content(value: object, where: str, more: Mapping[str, Any]) -> str:
    if value is None and more.get("tool_calls"):
        return ""
    if isinstance(value, list):
        return "".join(_piece(piece, where) for piece in value)
    return as_text(value, f"the text of {where}")


def _piece(piece: object, where: str) -> str:
    """One part of a content in parts; only text can be learned here."""
    if isinstance(piece, dict) and piece.get("type") == "text":
        return as_text(piece.get("text"), f"the text of {where}")
    kind = piece.get("type") if isinstance(piece, dict) else kind_of(piece)
    raise RowError("not_text", f"{where} holds {str(kind)!r:.40}; only text can be learned")


def check_order(messages: Sequence[Message]) -> None:
    """Raise RowError unless this is a conversation that ends with something to learn."""
    spoken = [message for message in messages if message["role"] != "system"]
    if not spoken:
        raise RowError("system_only", "there is only a system message")
    for index, message in enumerate(messages):
        if message["role"] == "system" and index:
            raise RowError("role_order", f"message {index + 1} is a system message, not the first")
    if spoken[0]["role"] != "user":
        raise RowError("role_order", f"the conversation starts with the {spoken[0]['role']}")
    for before, message in itertools.pairwise(spoken):
        if before["role"] == message["role"] != "tool":
            raise RowError("role_order", f"two {message['role']} messages follow each other")
    check_results(spoken)
    if spoken[-1]["role"] != "assistant":
        raise RowError("no_answer", f"the last message is the {spoken[-1]['role']}'s")
    _check_texts(spoken)


def _check_texts(spoken: Sequence[Message]) -> None:
    for message in spoken:
        if message["content"].strip() or message.get("tool_calls"):
            continue
        if message["role"] == "assistant":
            raise RowError("empty_answer", "an answer is empty")
        if message["role"] == "user":
            raise RowError("empty_message", "a question is empty")


def turn(question: str, answer: str, system: str = "") -> list[Message]:
    """One question and its answer."""
    first = [{"role": "system", "content": system}] if system else []
    return [
        *first,
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def side(value: object, role: str, column: str) -> list[Message]:
    """One side of a row: plain text said by `role`, or a list of messages, perhaps in an object."""
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
    if isinstance(value, str):
        return [{"role": role, "content": as_text(value, f"'{column}'")}]
    return read_messages(value, column, role_key="role", text_key="content", roles=ROLES)
