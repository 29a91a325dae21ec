"""Answers with blanks round them."""

from core.doctor.base import Check, Seen


class Spaces(Check):
    """Answers that begin or end in spaces or line breaks."""

    code = "spaces"
    title = "Blanks round answers"
    what = "have spaces or line breaks at the beginning or the end of an answer"
    why = (
        "They are learned like any other letter: the model answers with them, or waits for them "
        "before it stops."
    )
    fix = "Removes them."

    def look(self, seen: Seen) -> None:
        """Look at the ends of every answer."""
        if len(seen.messages) > 1 and any(
            message["content"] != message["content"].strip()
            for message in seen.messages
            if message["role"] == "assistant"
        ):
            self.note(seen.line)

    def mend(self, text: str, *, answer: bool) -> str:
        """The answer without them."""
        return text.strip() if answer else text
