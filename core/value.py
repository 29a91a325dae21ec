"""The base of everything that crosses a process or the disk."""

from pydantic import BaseModel, ConfigDict, JsonValue

EXPERT: dict[str, JsonValue] = {"expert": True}
"""Marks a field (json_schema_extra) that most people never need: forms fold it away."""


class Value(BaseModel):
    """Frozen, strict about names, comparable, printable as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
