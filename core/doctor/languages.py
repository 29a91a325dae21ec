"""In which language a row is written: by its script, and in Latin letters by its small words.

This is a heuristic. Short rows and languages without a word list stay unclear and are not judged.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator

from core.doctor.base import Ask, Check, Seen
from core.findings import DataFinding, Survey

LOOKED_AT = 600
"""Characters of a row."""
CLEAR = 3
"""Small words that make a language certain."""
FEW = 0.2
"""Share of the rows up to which another language is taken for a slip."""
_SCRIPTS = (
    ("Japanese", re.compile("[぀-ヿ]")),
    ("Chinese", re.compile("[一-鿿㐀-䶿]")),
    ("Korean", re.compile("[가-힯ᄀ-ᇿ]")),
    ("Cyrillic", re.compile("[Ѐ-ӿ]")),
    ("Greek", re.compile("[Ͱ-Ͽ]")),
    ("Arabic", re.compile("[؀-ۿ]")),
    ("Hebrew", re.compile("[֐-׿]")),
    ("Devanagari", re.compile("[ऀ-ॿ]")),
    ("Thai", re.compile("[฀-๿]")),
)
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_SMALL = {
    "English": "the of and to in is that it for was with be this are have from not what you",
    "German": "der die das und ist nicht ein eine zu den mit von für auf dem sich wie auch wird",
    "French": "le les des et est une dans pour que qui sur pas avec sont cette vous nous il du",
    "Spanish": "el los las y es una que por con para del se como más pero su al está esta lo",
    "Italian": "il che di è una per con non sono della nel alla gli più questo anche come si ha un",
    "Portuguese": "o os as e é uma não que para com do da em por mais como se na foi você",
    "Dutch": "de het een en van is niet dat op te voor met zijn aan er ook maar bij wordt deze",
}
_LANGUAGES: dict[str, list[str]] = {}
for _name, _words in _SMALL.items():
    for _word in _words.split():
        _LANGUAGES.setdefault(_word, []).append(_name)
NAMES = ("", *_SMALL, *(name for name, _ in _SCRIPTS))


def language_of(text: str) -> str:
    """The language or script of a text; empty when it is not clear."""
    text = text[:LOOKED_AT]
    if not text.isascii():
        letters = len(_LETTER.findall(text))
        for name, script in _SCRIPTS:
            share = 0.1 if name == "Japanese" else 0.5  # Japanese is written with Chinese signs
            if len(script.findall(text)) > share * letters > 0:
                return name
    counts = Counter(n for w in _WORD.findall(text.lower()) for n in _LANGUAGES.get(w, ()))
    best = counts.most_common(2)
    if not best or best[0][1] < CLEAR:
        return ""
    return best[0][0] if len(best) == 1 or best[0][1] > 1.5 * best[1][1] else ""


class Languages(Check):
    """Rows in another language than most."""

    code = "languages"
    title = "Other languages"
    what = "are in another language than most"
    why = (
        "A few rows in another language make the model switch at the wrong moment. Told by script "
        "and small words, so look at the rows before you decide."
    )

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._found, self._numbers = array("b"), array("q")

    def look(self, seen: Seen) -> None:
        """Remember the language."""
        self._found.append(NAMES.index(language_of(seen.text)))
        self._numbers.append(seen.line)

    def conclude(self, survey: Survey) -> None:
        """Rows that are clearly in another language than the main one."""
        counts = Counter(self._found)
        del counts[0]
        self._counts = counts.most_common()
        if len(counts) > 1:
            main = self._counts[0][0]
            pairs = zip(self._numbers, self._found, strict=True)
            self.lines = array("q", [line for line, found in pairs if found not in (0, main)])

    def findings(self) -> Iterator[DataFinding]:
        """A slip is a warning, a mixture a note."""
        for finding in super().findings():
            shares = ", ".join(f"{NAMES[name]} {count:,}" for name, count in self._counts[:6])
            few = finding.count <= FEW * len(self._numbers)
            text = f"{finding.text} Rows that are clear: {shares}."
            yield finding.model_copy(
                update={"text": text, "severity": "warning" if few else "note"}
            )
