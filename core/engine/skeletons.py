"""What a chat template writes by itself, and whether it writes more for what a conversation says.

A template should write roles and signs round what is said, whatever is said. One that answers to a
word in a question can teach a model anything without a trace in the rows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError

MOST_SHAPES = 200
"""Orders of roles that are remembered; rows of further ones are not looked at."""
MOST_WORDS = 2_000
"""Words that are compared; of longer differences the beginning."""
LONGEST = 300
_WORD = re.compile(r"<[^<>\s]{1,40}>|\w+|[^\w\s]")
"""A sign in angle brackets is a word of its own."""
Chat = Sequence[dict[str, Any]]
Render = Callable[[Any, dict[str, Any]], tuple[str, Any]]


class Skeleton:
    """The text that a template writes round the messages of one order of roles."""

    def __init__(self, parts: list[str], order: list[int]) -> None:
        self.parts = parts
        self._order = order
        """Which messages appear, in the order in which they do."""

    def added(self, chat: Chat, text: str) -> str:
        """Words of a text that are neither of this skeleton nor of the messages; mostly none."""
        said = [chat[place]["content"] for place in self._order]
        if self._fits(said, text):
            return ""
        usual = "".join(p + s for p, s in zip(self.parts, [*map(str.strip, said), ""], strict=True))
        known = " ".join(message["content"] for message in chat)
        return shortened([words for words in inserted(usual, text) if words not in known])

    def _fits(self, said: list[str], text: str) -> bool:
        place = len(self.parts[0])
        if not text.startswith(self.parts[0]):
            return False
        for content, after in zip(said, self.parts[1:], strict=True):
            for form in (content, content.strip(), content.rstrip(), content.lstrip()):
                if text.startswith(form, place) and text.startswith(after, place + len(form)):
                    place += len(form) + len(after)
                    break
            else:
                return False
        return place == len(text)


class Skeletons:
    """Those of one template, each written once."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._known: dict[object, Skeleton | None] = {}

    def added(self, chat: Any, options: dict[str, Any], text: str) -> str:
        """Text that this conversation gets and others of its shape do not."""
        if not plain(chat):
            return ""
        shape = (tuple(m["role"] for m in chat), bool(options.get("add_generation_prompt")))
        if shape not in self._known:
            if len(self._known) >= MOST_SHAPES:
                return ""
            self._known[shape] = skeleton(self._render, shape[0], options)
        found = self._known[shape]
        return found.added(chat, text) if found else ""


def plain(chat: Any) -> bool:
    """Whether a conversation is nothing but roles and texts."""
    return all(m.keys() == {"role", "content"} and isinstance(m["content"], str) for m in chat)


def skeleton(render: Render, roles: Sequence[str], options: dict[str, Any]) -> Skeleton | None:
    """What is written round words that stand for nothing; None when it cannot be told."""
    marks = [f"qz{place}zq" for place in range(len(roles))]
    chat = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    try:
        text, _ = render(chat, options)
    except TemplateError:
        return None
    pieces = re.split(r"qz(\d+)zq", text)
    order = [int(place) for place in pieces[1::2]]
    known = len(set(order)) == len(order) and all(place < len(roles) for place in order)
    return Skeleton(pieces[::2], order) if known else None


def inserted(before: str, after: str) -> list[str]:
    """Stretches of words that the second text has and the first has not."""
    old, places = _WORD.findall(before), list(_WORD.finditer(after))
    new = [place[0] for place in places]
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    same = min(len(old), len(new)) if same is None else same
    old, new, places = old[same:], new[same:], places[same:]
    matcher = difflib.SequenceMatcher(None, old[:MOST_WORDS], new[:MOST_WORDS], autojunk=False)
    changes = (one for one in matcher.get_opcodes() if one[0] in ("insert", "replace"))
    return [after[places[a].start() : places[b - 1].end()] for _, _, _, a, b in changes]


def shortened(stretches: Sequence[str]) -> str:
    """Stretches of words, each on its own."""
    text = " … ".join(stretches)
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
