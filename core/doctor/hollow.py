"""Answers that only hold a place."""

import re

from core.doctor.base import Check, Seen

_HOLLOW = re.compile(
    r"(?:todo|tbd|fixme|xxx+|null|undefined|nan|#n/a|#ref!|#value!|placeholder|lorem ipsum.*"
    r"|[\[<{](?:insert|answer|response|your|placeholder)[^\]>}]*[\]>}]|[.…?_-]+)\W*",
    re.I | re.S,
)


class HollowAnswers(Check):
    """Answers such as TODO, null, ... or [insert answer]."""

    code = "hollow_answers"
    title = "Place-holder answers"
    what = "have a place-holder as answer"
    why = "The model would learn to answer with it."
    fix = "Leaves them out."
    drops = True

    def look(self, seen: Seen) -> None:
        """Look at short answers, and at those that begin like dummy text."""
        answer = seen.answer.strip()
        if (len(answer) <= 60 or answer[:5].lower() == "lorem") and _HOLLOW.fullmatch(answer):
            self.note(seen.line)
