"""What is strange about rows and about a stranger's chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from core import templates
from core.engine import rendering
from core.engine.encode import FIRST_LINES, Encoded, Row
from core.engine.signs import obeyed, signs_of
from core.engine.skeletons import Skeleton, inserted, shortened, skeleton
from core.errors import ModelError
from core.oddities import Oddities

_SHAPES = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
    ("user", "assistant") * 6,
)
"""Orders of roles that nearly every template takes."""


def look(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Encoded], *, chats: bool) -> Oddities:
    """Everything found while these rows were encoded, and what their template is like."""
    sides = [side for row in rows for side in row.sides]
    signed = [side for side in sides if side.signs]
    added = [side for side in sides if side.added]
    family, writes = writes_besides(tokenizer) if chats else ("", "")
    return Oddities(
        signs=len(_places(signed)),
        signs_found=tuple(dict.fromkeys(sign for side in signed for sign in side.signs))[:10],
        signs_lines=_places(signed)[:FIRST_LINES],
        signs_kept=obeyed(tokenizer),
        added=len(_places(added)),
        added_lines=_places(added)[:FIRST_LINES],
        added_text=added[0].added if added else "",
        family=family,
        writes=writes,
    )


def _places(sides: Sequence[Row]) -> tuple[int | str, ...]:
    """A pair stands in one line."""
    return tuple(dict.fromkeys(side.place for side in sides))


def writes_besides(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """A family of the catalogue, and what a stranger's template writes that its own does not.

    Both empty when the template is one of ours, or like none of them.
    """
    own = str(tokenizer.chat_template or "")
    if not own or rendering.is_ours(own):
        return "", ""
    written = [_skeleton(tokenizer, own, roles) for roles in _SHAPES]
    found = []
    for family in _families(tokenizer, written):
        usual = [_skeleton(tokenizer, templates.read(family.name), roles) for roles in _SHAPES]
        found.append((shortened(list(_more(tokenizer, usual, written))), family.title))
    if not found:
        return "", ""
    text, title = min(found, key=lambda one: len(one[0]))
    return title, text


def _families(
    tokenizer: PreTrainedTokenizerBase, written: Sequence[Skeleton | None]
) -> Iterator[templates.ChatTemplate]:
    """Those whose signs the tokenizer knows and the template writes."""
    vocabulary = tokenizer.get_vocab()
    text = " ".join(part for one in written if one for part in one.parts)
    for family in templates.CATALOGUE:
        known = all(name in vocabulary for name in family.tokens)
        if known and any(name in text for name in family.tokens):
            yield family


def _skeleton(
    tokenizer: PreTrainedTokenizerBase, template: str, roles: Sequence[str]
) -> Skeleton | None:
    def render(chat: Any, options: dict[str, Any]) -> tuple[str, Any]:
        texts, spans = rendering.render([chat], chat_template=template, **options)
        return texts[0], spans

    try:
        return skeleton(render, roles, dict(tokenizer.special_tokens_map))
    except (TemplateError, ModelError):
        return None


def _more(
    tokenizer: PreTrainedTokenizerBase,
    usual: Sequence[Skeleton | None],
    written: Sequence[Skeleton | None],
) -> Iterator[str]:
    """Stretches of words beside signs and roles, each once."""
    signs = signs_of(tokenizer).others
    told: set[str] = set()
    for known, own in zip(usual, written, strict=True):
        if known is None or own is None:
            continue
        before, after = (signs.sub(" ", " ".join(one.parts)) for one in (known, own))
        for words in inserted(before, after):
            if words not in told and any(letter.isalnum() for letter in words):
                told.add(words)
                yield words
