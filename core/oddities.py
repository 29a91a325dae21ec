"""What strangers may have put into rows or into a chat template, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from core.errors import Edit
from core.value import Value
from core.visible import visible

FIELD = "data.control_tokens"
Lines = tuple[int | str, ...]


class Oddities(Value):
    """Found while the rows were encoded."""

    signs: int = 0
    """Rows with the model's own signs in their texts."""
    signs_found: tuple[str, ...] = ()
    signs_lines: Lines = ()
    signs_kept: bool = False
    """Whether the recipe keeps them as signs."""
    added: int = 0
    """Rows that get further text from the chat template, because of what they say."""
    added_lines: Lines = ()
    added_text: str = ""
    """That of the first of them."""
    family: str = ""
    """Whose template the model's own should be like; empty when none of the catalogue."""
    writes: str = ""
    """Text that the model's own writes into conversations, and that of its family does not."""


class Oddity(NamedTuple):
    """One of them for people: what, what to do, and a change of the recipe."""

    code: str
    where: str
    text: str
    hint: str
    fix: Edit | None = None


def sentences(found: Oddities) -> Iterator[Oddity]:
    """Everything strange, the gravest first."""
    if found.added:
        yield Oddity(
            "template-answers-words",
            "data.template",
            f"The chat template writes further text into {_rows(found.added)} "
            f"({_lines(found.added_lines, found.added)}) because of what is said there, for "
            f"instance {quoted(found.added_text)}. A template should write the same round every "
            "text.",
            "Choose a template of the catalogue in data.template, unless you know why.",
        )
    if found.signs:
        yield _signs(found)
    if found.writes:
        yield Oddity(
            "template-writes",
            "data.template",
            f"The model's chat template writes text into every conversation that {found.family} "
            f"does not have: {quoted(found.writes)}. The model learns to expect it.",
            "Choose a template of the catalogue in data.template if you do not want it.",
        )


def _signs(found: Oddities) -> Oddity:
    listed = ", ".join(ascii(sign)[1:-1][:40] for sign in found.signs_found[:4])
    one = found.signs == 1
    held = f"{_rows(found.signs)} ({_lines(found.signs_lines, found.signs)}) "
    held += f"{'holds' if one else 'hold'} signs of the model in {'its' if one else 'their'} texts"
    if found.signs_kept:
        return Oddity(
            "signs-kept", FIELD,
            f"{held}: {listed}. They are kept as signs, as the recipe says: whoever wrote such a "
            "row can end a turn or speak as the system.",
            "Set data.control_tokens to text, unless you wrote these rows.",
            Edit(path=FIELD, value="text", label="Learn them as text"),
        )  # fmt: skip
    return Oddity(
        "signs-as-text", FIELD,
        f"{held}: {listed}. They are learned as the text that they are.",
        "If they are meant as signs, set data.control_tokens to tokens.",
        Edit(path=FIELD, value="tokens", label="Keep them as signs"),
    )  # fmt: skip


def quoted(text: str) -> str:
    """A stranger's words in a sentence, with signs for what cannot be seen."""
    return f"“{visible(' '.join(text.split()))}”"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _lines(lines: Lines, count: int) -> str:
    shown = ", ".join(str(line) for line in lines[:5])
    return f"line{'' if count == 1 else 's'} {shown}{', ...' if count > 5 else ''}"
