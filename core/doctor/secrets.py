"""Keys and passwords of services, by the beginnings their makers gave them."""

import re

from core.doctor.base import Check, Seen

_KEYS = (
    r"sk-(?:proj-|ant-(?:api\d\d-)?|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,}",
    r"(?:sk|rk|pk)_live_[A-Za-z0-9]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{40,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"hf_[A-Za-z0-9]{30,}",
    r"xox[abprs]-[A-Za-z0-9-]{10,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{40,}",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)
_SECRET = re.compile(
    rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_KEYS)})"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)",
    re.S,
)


class Secrets(Check):
    """Keys that give access to something."""

    code = "secrets"
    title = "Keys and tokens"
    what = "hold what looks like a key or token of a service"
    why = "A model recites what it has learned: whoever can ask it can use the key. Revoke it, too."
    fix = "Puts [SECRET] in its place."

    def look(self, seen: Seen) -> None:
        """Search the whole row."""
        if _SECRET.search(seen.text):
            self.note(seen.line)

    def mend(self, text: str, *, answer: bool) -> str:
        """The text without keys."""
        return _SECRET.sub("[SECRET]", text)
