"""Several answers to one prompt, the best first; read here, learned by reward models only."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from core.formats.base import SHAPE, Format, Message, Part, Row, RowError, kind_of
from core.formats.conversation import check_order, side


class Ranking(Format):
    """Prompt and answers in falling order."""

    name: ClassVar = "ranking"
    title: ClassVar = "Ranked answers (best first)"
    parts: ClassVar = (
        Part("prompt", ("question", "instruction")),
        Part("answers", ("ranked", "ranking", "responses", "completions", "candidates")),
    )
    example: ClassVar = {"prompt": "What is 2 + 2?", "answers": ["4", "Four or so.", "Five."]}

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The prompt with its best answer; all others must be readable too."""
        for part in self.required:
            if mapping[part] not in row:
                raise RowError(SHAPE, f"the column '{mapping[part]}' is missing")
        asked = side(row[mapping["prompt"]], "user", mapping["prompt"])
        column = mapping["answers"]
        replies = [
            [*asked, *side(answer, "assistant", f"{column}[{index}]")]
            for index, answer in enumerate(_answers(row[column], column))
        ]
        for messages in replies:
            check_order(messages)
        if any(reply in replies[:index] for index, reply in enumerate(replies)):
            raise RowError("same_answers", "two of the ranked answers are the same")
        return replies[0]


def _answers(value: object, column: str) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)  # a cell of a table holds its list as text
        except (ValueError, RecursionError):
            raise RowError(SHAPE, f"'{column}' is text that is not a list of answers") from None
    if not isinstance(value, list):
        raise RowError(SHAPE, f"'{column}' is {kind_of(value)}, a list of answers was expected")
    if len(value) < 2:
        raise RowError("few_answers", f"'{column}' holds {len(value)} answers; two are the least")
    return value
