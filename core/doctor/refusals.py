"""Answers that refuse."""

import re

from core.doctor.base import Check, Seen

_REGRET = (
    r"(?:i['’]?m|i am) (?:very |so |truly )?sorry",
    r"sorry",
    r"i apologi[sz]e",
    r"unfortunately",
    r"as an? (?:ai|artificial intelligence|large language model|language model)[^.!?,]{0,60}",
)
_CANNOT = (
    r"i can(?:not|['’]t)", r"i won['’]t", r"i am (?:not able|unable) to",
    r"i['’]m (?:not able|unable) to",
)  # fmt: skip
_HELP = "help|assist|provide|fulfil|comply|do that|answer|create|generate|support|discuss|share"
_REFUSAL = re.compile(
    rf"(?:(?:{'|'.join(_REGRET)})(?:,? but|,)? )?(?:{'|'.join(_CANNOT)}) (?:{_HELP}|write|engage)"
    r"|(?:es )?tut mir leid, (?:aber )?(?:ich kann|dabei kann ich)"
    r"|je suis désolée?, mais je ne peux pas|lo siento, pero no puedo",
    re.I,
)


class Refusals(Check):
    """Answers that begin by declining."""

    code = "refusals"
    title = "Refusals"
    what = "refuse to answer"
    why = (
        "A few hundred of them teach a model to refuse harmless questions too. Keep them only if "
        "refusing is what you want to teach."
    )
    fix = "Leaves them out."
    drops = True

    def look(self, seen: Seen) -> None:
        """Look at how the answer begins."""
        if _REFUSAL.match(seen.answer[:300].lstrip()):
            self.note(seen.line)
