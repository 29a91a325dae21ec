"""A model's own signs, such as the one that ends a turn, inside what people have written.

A tokenizer takes them for the real ones: whoever writes a row then speaks as the system, or ends an
answer early. Here they are encoded as the text that they are, unless the recipe keeps them.
"""

from __future__ import annotations

import itertools
import re
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from core.engine import rendering

_PRIVATE = range(0xF0000, 0xFFFFE)
"""Signs without a meaning; two that a row does not hold mark its signs while it is rendered."""
_NEVER = re.compile(r"(?!)")


class Signs(NamedTuple):
    """Patterns of the signs of a tokenizer under its template."""

    special: re.Pattern[str]
    """What no person writes."""
    others: re.Pattern[str]
    """These and what the template writes besides. Models write such as <think> themselves, so
    that answers may hold them."""

    def of(self, role: str) -> re.Pattern[str]:
        """Those that a message of this role may not hold."""
        return self.special if role == "assistant" else self.others


class _Known(NamedTuple):
    template: str
    size: int
    signs: Signs


_known: weakref.WeakKeyDictionary[PreTrainedTokenizerBase, _Known] = weakref.WeakKeyDictionary()
_obeying: weakref.WeakSet[PreTrainedTokenizerBase] = weakref.WeakSet()


def obey(tokenizer: PreTrainedTokenizerBase) -> None:
    """Signs in texts are meant, and stay what they are."""
    _obeying.add(tokenizer)


def obeyed(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether signs in texts stay what they are."""
    return tokenizer in _obeying


def signs_of(tokenizer: PreTrainedTokenizerBase) -> Signs:
    """The signs of a tokenizer and its template."""
    template, size = str(tokenizer.chat_template or ""), len(tokenizer)
    known = _known.get(tokenizer)
    if known is None or known[:2] != (template, size):
        known = _known[tokenizer] = _Known(template, size, _look(tokenizer, template))
    return known.signs


def _look(tokenizer: PreTrainedTokenizerBase, template: str) -> Signs:
    added = list(tokenizer.added_tokens_decoder.values())
    special = [token.content for token in added if token.special]
    written = [token.content for token in added if token.content in template]
    return Signs(_any_of(special), _any_of({*special, *written}))


def _any_of(tokens: Any) -> re.Pattern[str]:
    """The longest first, since one may hold another; blanks are ordinary text."""
    told = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, told))) if told else _NEVER


def found_in(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]]) -> list[str]:
    """The signs that messages hold, each once."""
    signs = signs_of(tokenizer)
    found = (
        sign
        for message in messages
        for text in _texts(message)
        for sign in signs.of(str(message.get("role"))).findall(text)
    )
    return list(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a message, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


class Piece(NamedTuple):
    """A stretch of a rendered conversation; a foreign one is a sign that somebody wrote."""

    text: str
    foreign: bool


class Token(NamedTuple):
    """A token and the characters it stands for."""

    id: int
    start: int
    end: int


def encode_as_text(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], **options: Any
) -> tuple[list[int], list[bool]]:
    """Tokens of a conversation in which only the template writes signs, and which are learned."""
    marks = _marks(messages)
    signs = signs_of(tokenizer)
    marked = [_mark(message, signs.of(str(message.get("role"))), marks) for message in messages]
    template = tokenizer.get_chat_template()
    texts, spans = rendering.render(
        [marked], chat_template=template, **tokenizer.special_tokens_map, **options
    )
    pieces = list(_pieces(texts[0], signs.others, marks))
    tokens = list(_tokens(tokenizer, pieces))
    answers = [(_clean(texts[0], a, marks), _clean(texts[0], b, marks)) for a, b in _first(spans)]
    learned = [any(t.start < end and t.end > start for start, end in answers) for t in tokens]
    return [token.id for token in tokens], learned


def _first(spans: Sequence[Any]) -> Any:
    return spans[0] if spans else ()


def _marks(messages: Sequence[dict[str, Any]]) -> tuple[str, str]:
    used = {letter for message in messages for text in _texts(message) for letter in text}
    start, end = itertools.islice((chr(c) for c in _PRIVATE if chr(c) not in used), 2)
    return start, end


def _mark(value: Any, signs: re.Pattern[str], marks: tuple[str, str]) -> Any:
    if isinstance(value, str):
        return signs.sub(lambda found: f"{marks[0]}{found[0]}{marks[1]}", value)
    if isinstance(value, dict):
        return {k: v if k == "role" else _mark(v, signs, marks)
                for k, v in value.items() if v is not None}  # fmt: skip
    return [_mark(inner, signs, marks) for inner in value] if isinstance(value, list) else value


def _clean(text: str, place: int, marks: tuple[str, str]) -> int:
    """A place in a marked text, as one in the text without marks."""
    return place - text.count(marks[0], 0, place) - text.count(marks[1], 0, place)


def _pieces(text: str, signs: re.Pattern[str], marks: tuple[str, str]) -> Iterator[Piece]:
    """A template may have parted a sign from its marks: lone ones are dropped."""
    start, end = marks
    pattern = re.compile(f"{start}({signs.pattern}){end}|[{start}{end}]")
    place = 0
    for found in pattern.finditer(text):
        yield Piece(text[place : found.start()], foreign=False)
        yield Piece(found[1] or "", foreign=True)
        place = found.end()
    yield Piece(text[place:], foreign=False)


def _tokens(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[Piece]) -> Iterator[Token]:
    """Between two signs of the template a text is encoded whole, as any text is."""
    own = frozenset(tokenizer.added_tokens_decoder)
    whole = "".join(piece.text for piece in pieces)
    run: list[Token] = []
    foreign, begin, place = False, 0, 0

    def until(end: int) -> list[Token]:
        return _rejoined(tokenizer, whole[begin:end], begin, run, own) if foreign else run

    for piece in pieces:
        made = _sign if piece.foreign else _encoded
        for token in made(tokenizer, piece.text, place):
            if token.id in own and not piece.foreign:
                yield from until(token.start)
                yield token
                run, foreign, begin = [], False, token.end
            else:
                run.append(token)
        foreign = foreign or (piece.foreign and bool(piece.text))
        place += len(piece.text)
    yield from until(len(whole))


def _rejoined(
    tokenizer: PreTrainedTokenizerBase, text: str, at: int, run: list[Token], own: frozenset[int]
) -> list[Token]:
    """The tokens of a stretch that was encoded in pieces, as one text where that is possible."""
    joined = _encoded(tokenizer, text, at, as_text=True)
    return run if any(token.id in own for token in joined) else joined


def _sign(tokenizer: PreTrainedTokenizerBase, text: str, place: int) -> list[Token]:
    """A sign as text. One that is no special token is a sign even then, unless it is parted."""
    found = _encoded(tokenizer, text, place, as_text=True)
    if not any(token.id in tokenizer.added_tokens_decoder for token in found):
        return found
    first = _encoded(tokenizer, text[:1], place, as_text=True)
    return first + _encoded(tokenizer, text[1:], place + 1, as_text=True)


def _encoded(
    tokenizer: PreTrainedTokenizerBase, text: str, place: int, *, as_text: bool = False
) -> list[Token]:
    """A stretch from the middle of a text; behind a line break no blank is put in front of it."""
    head = _plainly(tokenizer, "\n", 0, as_text=as_text) if text and place else []
    found = _plainly(tokenizer, "\n" + text, place - 1, as_text=as_text) if head else []
    if head and [token.id for token in found[: len(head)]] == [token.id for token in head]:
        return found[len(head) :]
    return _plainly(tokenizer, text, place, as_text=as_text)


def _plainly(
    tokenizer: PreTrainedTokenizerBase, text: str, place: int, *, as_text: bool
) -> list[Token]:
    made = tokenizer(
        text, add_special_tokens=False, split_special_tokens=as_text, return_offsets_mapping=True
    )
    pairs = zip(made["input_ids"], made["offset_mapping"], strict=True)
    return [Token(token, start + place, end + place) for token, (start, end) in pairs]
