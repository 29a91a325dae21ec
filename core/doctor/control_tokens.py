"""Signs of chat templates inside texts."""

import re

from core.doctor.base import Check, Seen

_CONTROL = re.compile(
    r"<(?=[|｜][^\s<>|｜]{1,40}[|｜]>"
    r"|/?s>|bos>|eos>|pad>|start_of_turn>|end_of_turn>|/?tool_call>|/?tool_response>|<SYS>>|</?SYS>>)"
    r"|\[(?=/?INST\])"
)


class ControlTokens(Check):
    """Texts with <|im_end|>, [INST] and the like, which a tokenizer takes for its own signs."""

    code = "control_tokens"
    title = "Signs of chat templates"
    what = "hold signs of a chat template in the text"
    why = (
        "Those of the model itself are learned as text unless data.control_tokens says otherwise; "
        "other programs may take them for the real ones, so that roles change in the middle of a "
        "message, or an answer ends early. Often they are remains of an export."
    )
    fix = "Writes them with a space behind the first letter, so that they stay text."

    def look(self, seen: Seen) -> None:
        """Search the whole row."""
        if _CONTROL.search(seen.text):
            self.note(seen.line)

    def mend(self, text: str, *, answer: bool) -> str:
        """The text with signs that are only text."""
        return _CONTROL.sub(lambda sign: f"{sign[0]} ", text)
