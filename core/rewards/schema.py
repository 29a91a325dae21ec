"""A reward for JSON of a wanted shape, by the part of JSON Schema that is listed here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from core.formats import Message
from core.rewards.base import Pure

Schema = dict[str, Any]
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _number(value) and value == int(value),
    "number": lambda value: _number(value),
}
_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", lambda value, limit: value >= limit),
    "maximum": ("number", lambda value, limit: value <= limit),
    "minLength": ("string", lambda value, limit: len(value) >= limit),
    "maxLength": ("string", lambda value, limit: len(value) <= limit),
    "minItems": ("array", lambda value, limit: len(value) >= limit),
    "maxItems": ("array", lambda value, limit: len(value) <= limit),
}
_NOTES = {"title", "description", "$schema"}
_OTHERS = {"type", "enum", "const", "properties", "required", "additionalProperties", "items"}
KNOWN = sorted(_OTHERS | set(_LIMITS))
"""Keywords that are checked; a schema with any other is refused, never half checked."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checkable(schema: Schema) -> Schema:
    """The schema itself. Raises PydanticCustomError when part of it would not be checked."""
    for name, value in schema.items():
        if name not in KNOWN and name not in _NOTES:
            _refuse(f"{name!r} is not checked; known: {', '.join(KNOWN)}")
        if not _well_formed(name, value):
            _refuse(f"{name!r} has no value that can be checked")
    items = [schema["items"]] if "items" in schema else []
    for inner in (*schema.get("properties", {}).values(), *items):
        _checkable(inner)
    return schema


def _refuse(why: str) -> None:
    raise PydanticCustomError("schema", "{why}", {"why": why})


def _well_formed(name: str, value: Any) -> bool:
    match name:
        case "type":
            return bool(_types(value)) and all(each in _TYPES for each in _types(value))
        case "properties":
            return isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
        case "required":
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        case "enum":
            return isinstance(value, list)
        case "items":
            return isinstance(value, dict)
        case "additionalProperties":
            return isinstance(value, bool)
    return name not in _LIMITS or _number(value)


def _types(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def fits(value: Any, schema: Schema) -> bool:
    """Whether a parsed value is as the schema says."""
    return (
        ("type" not in schema or any(_TYPES[each](value) for each in _types(schema["type"])))
        and ("enum" not in schema or any(_same(value, each) for each in schema["enum"]))
        and ("const" not in schema or _same(value, schema["const"]))
        and all(
            not _TYPES[kind](value) or holds(value, schema[name])
            for name, (kind, holds) in _LIMITS.items()
            if name in schema
        )
        and _inside(value, schema)
    )


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON is: true is not 1, but 1.0 is."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _inside(value: Any, schema: Schema) -> bool:
    if isinstance(value, list):
        return all(fits(each, schema.get("items", {})) for each in value)
    if not isinstance(value, dict):
        return True
    parts = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False
    return (
        all(name in value for name in schema.get("required", ()))
        and all(fits(each, parts[name]) for name, each in value.items() if name in parts)
        and not (closed and set(value) - set(parts))
    )


class JsonSchema(Pure):
    """JSON, and of the right shape."""

    kind: Literal["json_schema"] = "json_schema"
    title: ClassVar = "JSON of a shape"
    summary: ClassVar = "1 if the whole answer is JSON that fits the schema, else 0."

    # not `schema`, which pydantic's models have already
    shape: Annotated[Schema, AfterValidator(_checkable)] = Field(
        {},
        title="Schema",
        description=f"A JSON Schema of these keywords: {', '.join(KNOWN)}. Empty: any JSON.",
    )

    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """1 or 0."""
        try:
            value = json.loads(answer, parse_constant=_no_json)
        except (ValueError, RecursionError):
            return 0.0
        return float(fits(value, self.shape))


def _no_json(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)
