"""Single answers marked good or bad; read here, learned by preference objectives only."""

from collections.abc import Mapping
from typing import Any, ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError, kind_of
from core.formats.conversation import check_order, side

_WORDS = {"true": True, "false": False}


class Kto(Format):
    """Prompt, completion and whether the completion is wanted."""

    name: ClassVar = "kto"
    title: ClassVar = "Answers marked good or bad (KTO)"
    parts: ClassVar = (
        Part("prompt", ("question", "instruction")),
        Part("completion", ("response", "answer", "output")),
        Part("label", ("kto_tag",)),
    )
    example: ClassVar = {"prompt": "What is 2 + 2?", "completion": "About five.", "label": False}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The prompt with its completion, good or bad."""
        for part in self.required:
            if mapping[part] not in row:
                raise RowError(SHAPE, f"the column '{mapping[part]}' is missing")
        _label(row[mapping["label"]], mapping["label"])
        messages = [
            *side(row[mapping["prompt"]], "user", mapping["prompt"]),
            *side(row[mapping["completion"]], "assistant", mapping["completion"]),
        ]
        check_order(messages)
        return messages

    def good(self, row: Row, mapping: Mapping[str, str]) -> bool:
        """As marked."""
        return _label(row[mapping["label"]], mapping["label"])


def _label(value: Any, column: str) -> bool:
    """True or false; tables write them as words."""
    known = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
    if isinstance(known, bool):
        return known
    raise RowError(SHAPE, f"'{column}' is {kind_of(value)}, true or false was expected")
