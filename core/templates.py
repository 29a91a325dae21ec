"""Chat templates that ship with the program, and templates of the user's own in a file.

A template writes a conversation as one text. Ours mark the assistant's words together with the
token that ends them, so exactly these are learned.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from core.errors import ModelError
from core.places import resources
from core.value import Value

MAX_BYTES = 100_000
"""A template of a published model has at most some 30 kB."""
SUFFIX = ".jinja"
MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""Where an answer begins that is learned."""


class ChatTemplate(Value):
    """A template of the catalogue."""

    name: str
    title: str
    use: str
    """When it is the right one."""
    tokens: tuple[str, ...] = ()
    """Tokens the tokenizer must know whole: split into pieces they are words like others."""
    ends: str = ""
    """The token that ends an answer; empty for the tokenizer's own end token."""

    def missing(self, known: Collection[str], end: str) -> tuple[str, ...]:
        """Tokens it needs and a tokenizer lacks that knows `known` and ends texts with `end`."""
        lacking = tuple(token for token in self.tokens if token not in known)
        return lacking if self.ends or end else (*lacking, "an end-of-text token")


_TURN = ("<|im_start|>", "<|im_end|>")
CATALOGUE = (
    ChatTemplate(
        name="chatml",
        title="ChatML",
        use="Base models that know its two tokens, such as those of Qwen.",
        tokens=_TURN,
        ends="<|im_end|>",
    ),
    ChatTemplate(
        name="llama-3",
        title="Llama 3",
        use="Base models of the Llama 3 family.",
        tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        ends="<|eot_id|>",
    ),
    ChatTemplate(
        name="mistral",
        title="Mistral",
        use="Base models of Mistral; a system message begins the first question.",
        tokens=("[INST]", "[/INST]"),
    ),
    ChatTemplate(
        name="gemma",
        title="Gemma",
        use="Base models of Gemma 1 to 3; a system message begins the first question.",
        tokens=("<start_of_turn>", "<end_of_turn>"),
        ends="<end_of_turn>",
    ),
    ChatTemplate(
        name="phi",
        title="Phi 3",
        use="Models of the Phi 3 family.",
        tokens=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        ends="<|end|>",
    ),
    ChatTemplate(
        name="qwen",
        title="Qwen 2",
        use="Qwen 2: ChatML with a short system message where a conversation has none.",
        tokens=_TURN,
        ends="<|im_end|>",
    ),
    ChatTemplate(
        name="deepseek",
        title="DeepSeek",
        use="Base models of DeepSeek V2.5 and later.",
        tokens=("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        ends="<｜end▁of▁sentence｜>",
    ),
    ChatTemplate(
        name="zephyr",
        title="Zephyr",
        use="Any base model: roles are plain text; system messages have a turn of their own.",
    ),
    ChatTemplate(
        name="alpaca",
        title="Alpaca",
        use="Any base model: instruction and response under plain headings, mostly one of each.",
    ),
    ChatTemplate(
        name="vicuna",
        title="Vicuna",
        use="Any base model: longer conversations in plain text, USER and ASSISTANT by turns.",
    ),
)
TOKENS = frozenset(token for template in CATALOGUE for token in template.tokens)
"""Every token that some template needs."""
_PLAIN_FIRST = ("alpaca", "vicuna", "zephyr")
"""Which to offer first among those that need nothing but an end token."""


def find(name: str) -> ChatTemplate | None:
    """The catalogue's template of this name; None when there is none."""
    return next((template for template in CATALOGUE if template.name == name), None)


def title_of(choice: str) -> str:
    """What a choice is called."""
    found = find(choice)
    if found is not None:
        return found.title
    return Path(choice).name if choice else "the model's own"


def is_choice(text: str) -> bool:
    """Whether this can be a choice: nothing, a name of the catalogue or a .jinja file."""
    return not text or find(text) is not None or text.endswith(SUFFIX)


def fitting(known: Collection[str], end: str) -> list[ChatTemplate]:
    """Templates whose tokens a tokenizer knows; those of its family before plain ones."""
    fits = [template for template in CATALOGUE if not template.missing(known, end)]
    return sorted(fits, key=lambda one: _PLAIN_FIRST.index(one.name) + 1 if not one.tokens else 0)


def read(choice: str) -> str:
    """The text of a template of the catalogue, or of a file. Raises ModelError."""
    if find(choice) is not None:
        return (resources() / "templates" / f"{choice}{SUFFIX}").read_text(encoding="utf-8")
    path = Path(choice).expanduser()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"The chat template {path} cannot be read: {error.strerror or error}.",
            hint="Choose another file, or a template of the catalogue.",
        ) from error
    return _checked(path, raw)


def _checked(path: Path, raw: bytes) -> str:
    fault = next(_faults(raw), "")
    if fault:
        raise ModelError(
            f"The chat template {path} {fault}",
            hint="Choose another file, or a template of the catalogue.",
        )
    return raw.decode("utf-8-sig")


def _faults(raw: bytes) -> Iterator[str]:
    if len(raw) > MAX_BYTES:
        yield f"is larger than {MAX_BYTES // 1000} kB."
    try:
        text = raw[:MAX_BYTES].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"is not UTF-8 text (byte {error.start:,})."
    else:
        if not text.strip():
            yield "is empty."
        elif not MARKER.search(text):
            yield (
                "does not mark the answers: put {% generation %} and {% endgeneration %} round "
                "the assistant's words and the token that ends them."
            )
