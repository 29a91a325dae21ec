"""Personal data that can be told by its form: mail, telephone, bank account, credit card."""

from __future__ import annotations

import re

from core.doctor.base import Check, Seen

_MAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?!(?:[\w-]+\.)*example\.)[\w-]{1,63}(?:\.[\w-]{2,63})+", re.I
)
_PHONE = re.compile(
    r"(?<![\w+])\+\d{1,3}[ ./-]?(?:\(0?\d{1,4}\)|\d{1,4})(?:[ ./-]?\d{2,5}){2,4}(?!\w)"
    r"|(?<![\w(])\(\d{3}\) ?\d{3}[ -]\d{4}(?!\w)|(?<![\w.-])\d{3}-\d{3}-\d{4}(?![\w-])"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?!\w)")
_CARD = re.compile(
    r"(?<![\w-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}|3\d{3}([ -]?)\d{6}\2\d{5})(?![\w-]| ?\d)"
)
_DIGITS = 6
"""Digits without which a row holds none of the numbers."""


class PersonalData(Check):
    """Addresses and numbers of people; check digits are verified where there are any."""

    code = "personal_data"
    title = "Personal data"
    what = "hold a mail address, a telephone, bank account or credit card number"
    why = "A model recites what it has learned, and you may not be allowed to pass it on."
    fix = "Puts [EMAIL], [PHONE], [IBAN] or [CARD] in its place."

    def look(self, seen: Seen) -> None:
        """Search the whole row."""
        if mask(seen.text) != seen.text:
            self.note(seen.line)

    def mend(self, text: str, *, answer: bool) -> str:
        """The text without them."""
        return mask(text)


def mask(text: str) -> str:
    """The text with a word in the place of everything personal."""
    if "@" in text:
        text = _MAIL.sub("[EMAIL]", text)
    if sum(map(str.isdigit, text)) < _DIGITS:
        return text
    text = _IBAN.sub(lambda m: "[IBAN]" if _is_iban(m[0]) else m[0], text)
    text = _CARD.sub(lambda m: "[CARD]" if _is_card(m[0]) else m[0], text)
    return _PHONE.sub("[PHONE]", text)


def _is_iban(text: str) -> bool:
    """ISO 13616: moved by four and read as a number, it leaves 1 modulo 97."""
    bare = text.replace(" ", "")
    if not 15 <= len(bare) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """Luhn's check digit, and a first digit that card numbers have."""
    digits = [int(c) for c in text if c.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) == 1:
        return False
    doubled = [d if place % 2 == 0 else sum(divmod(2 * d, 10)) for place, d in
               enumerate(reversed(digits))]  # fmt: skip
    return sum(doubled) % 10 == 0
