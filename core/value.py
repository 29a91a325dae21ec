"""The base of everything that crosses a process or the disk."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Frozen, strict about names, comparable, printable as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
