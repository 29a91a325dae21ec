"""The base of everything that crosses a process or the disk."""

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

EXPERT: dict[str, JsonValue] = {"expert": True}
"""Marks a field (json_schema_extra) that most people never need: forms fold it away."""
AUTO = BeforeValidator(lambda given: None if given == "auto" else given)
"""`auto` says the same as an empty value."""
FILE, FOLDER = "file", "folder"
"""Mark a field (json_schema_extra) that names one on this computer; of a file with the kind of file
as `Words (*.ending)`: forms let it be chosen."""


class Value(BaseModel):
    """Frozen, strict about names, comparable, printable as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
