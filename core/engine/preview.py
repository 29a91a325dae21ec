"""Answer "what exactly will be learned?" without loading a model."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from core import mixing, models
from core.dataset import Example
from core.engine import encode, odd
from core.engine.asked import count_asked, encode_asked, show_asked
from core.engine.encode import Encoded
from core.engine.kept_tokens import encode_once
from core.engine.load import load_tokenizer
from core.engine.pairs import encode_pairs
from core.engine.plain import encode_texts, parted
from core.engine.rows import length_of
from core.engine.signs import obey
from core.engine.verdicts import encode_verdicts
from core.mixing import Mixture
from core.recipe import Recipe
from core.tokens import AnswerSide, Preview

_ANSWERS: dict[int, tuple[AnswerSide, ...]] = {1: ("",), 2: ("chosen", "rejected")}
PLAIN = "texts are read as they are, without a template; every token is learned"


def preview(recipe: Recipe, rows: int) -> Preview:
    """The first rows as coloured tokens, and counts over the whole set. Raises CoreError."""
    tokenizer = load_tokenizer(models.resolve(recipe.model))
    if recipe.data.control_tokens == "tokens":
        obey(tokenizer)
    chats = recipe.objective.chats
    note = encode.prepare_template(tokenizer, recipe.data.template) if chats else PLAIN
    mixture = mixing.read(recipe)
    if recipe.objective.room:
        return _asked(recipe, tokenizer, mixture, rows, note)
    encoded, length = (_encode if chats else _encode_texts)(recipe, tokenizer, mixture.train)
    end = encode.end_token(tokenizer, encoded)
    counted = encode.count(encoded, length, len(mixture.heldout), note, end)
    oddities = odd.look(tokenizer, encoded, chats=chats)
    alike = encode.asks_alike(tokenizer) if chats else True
    return Preview(
        tokens=counted.model_copy(update={"asks_alike": alike, "oddities": oddities}),
        rows=tuple(
            encode.show(tokenizer, side, length, answer)
            for row in encoded[:rows]
            for side, answer in zip(row.sides, _ANSWERS[len(row.sides)], strict=True)
        ),
    )


def _asked(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, mixture: Mixture, rows: int, note: str
) -> Preview:
    """Questions that the model answers itself; the answers of the rows are never learned."""
    asked, room = encode_asked(tokenizer, mixture.train), recipe.objective.room
    length, compared = length_of(recipe, asked), recipe.objective.compares
    counted = count_asked(asked, length, room, len(mixture.heldout), note)
    oddities = odd.look(tokenizer, asked, chats=True)
    return Preview(
        tokens=counted.model_copy(update={"oddities": oddities}),
        rows=tuple(
            show_asked(tokenizer, row, length, room, compared=compared) for row in asked[:rows]
        ),
    )


def _encode_texts(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> tuple[Sequence[Encoded], int]:
    """Texts, parted where they are longer than the length."""
    texts = encode_texts(tokenizer, examples)
    length = length_of(recipe, texts)
    return parted(texts, length), length


def _encode(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> tuple[Sequence[Encoded], int]:
    """Pairs or verdicts where the data holds them: what is looked at may have no objective yet."""
    encoded: Sequence[Encoded]
    if any(example.rejected is not None for example in examples):
        encoded = encode_pairs(tokenizer, examples)
    elif examples and all(example.good is not None for example in examples):
        encoded = encode_verdicts(tokenizer, examples)
    else:
        encoded = encode_once(tokenizer, examples)
    return encoded, length_of(recipe, encoded)
