"""For any conversation and several templates, what is shown as trained is what is trained."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from core.dataset import Example
from core.engine.encode import IGNORED, encode, prepare_template, show
from core.engine.load import load_tokenizer
from core.engine.score import padding
from core.places import starter

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
CHATML = "own"
TEMPLATES = {
    CHATML: "",
    "tags": (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}[A]{% generation %}"
        "{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}"
        "[{{ m['role'] }}] {{ m['content'] }}\n{% endif %}{% endfor %}"
    ),
    "spaces": (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{% generation %}"
        " {{ m['content'] }}<|im_end|>{% endgeneration %}\n\n{% else %}"
        "### {{ m['role'] | upper }}:\n{{ m['content'] }}\n\n{% endif %}{% endfor %}"
    ),
}
words = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="<|>"),
    min_size=1,
    max_size=40,
).filter(lambda text: bool(text.strip()))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An optional system message, then one to three turns."""
    said = [{"role": "system", "content": draw(words)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        said.append({"role": "user", "content": draw(words)})
        said.append({"role": "assistant", "content": draw(words)})
    return said


@cache
def tokenizer_with(name: str) -> PreTrainedTokenizerBase:
    found = load_tokenizer(Path(starter()))
    if TEMPLATES[name]:
        found.chat_template = TEMPLATES[name]
    prepare_template(found)
    return found


@pytest.mark.parametrize("name", TEMPLATES)
@given(said=st.lists(conversations(), min_size=1, max_size=3), length=st.integers(2, 120))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_coloured_mask_is_the_labels(
    name: str, said: list[list[dict[str, Any]]], length: int
) -> None:
    tokenizer = tokenizer_with(name)
    rows = encode(tokenizer, [Example(n, messages) for n, messages in enumerate(said, 1)])
    collate = DataCollatorForLanguageModeling(pad_token_id=padding(tokenizer))
    columns = [dict(zip(("input_ids", "labels"), row.cut(length), strict=True)) for row in rows]
    labels = collate(columns)["labels"]
    for row, learned, messages in zip(rows, labels, said, strict=True):
        ids = torch.tensor(row.ids)
        scored = tokenizer.decode(learned[1:][learned[1:] != IGNORED])
        pieces = show(tokenizer, row, length).pieces
        assert tokenizer.decode(ids) == "".join(piece.text for piece in pieces)
        trained = "".join(piece.text for piece in pieces if piece.kind == "trained")
        if length >= len(row.ids):  # a cut may part the bytes of one character
            assert trained == scored
            ends = [m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant"]
            assert scored.replace(" ", "") == "".join(ends).replace(" ", "")
        kept = sum(piece.kind != "cut" for piece in pieces)
        assert kept > 0
