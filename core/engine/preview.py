"""Answer "what exactly will be learned?" without loading a model."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from core import mixing, models
from core.dataset import Example
from core.engine import encode
from core.engine.encode import Encoded
from core.engine.kept_tokens import encode_once
from core.engine.load import load_tokenizer
from core.engine.pairs import encode_pairs
from core.engine.rows import length_of
from core.recipe import Recipe
from core.tokens import AnswerSide, Preview

_ANSWERS: dict[int, tuple[AnswerSide, ...]] = {1: ("",), 2: ("chosen", "rejected")}


def preview(recipe: Recipe, rows: int) -> Preview:
    """The first rows as coloured tokens, and counts over the whole set. Raises CoreError."""
    tokenizer = load_tokenizer(models.resolve(recipe.model))
    note = encode.prepare_template(tokenizer, recipe.data.template)
    mixture = mixing.read(recipe)
    encoded = _encode(tokenizer, mixture.train)
    length = length_of(recipe, encoded)
    end = encode.end_token(tokenizer, encoded)
    counted = encode.count(encoded, length, len(mixture.heldout), note, end)
    return Preview(
        tokens=counted.model_copy(update={"asks_alike": encode.asks_alike(tokenizer)}),
        rows=tuple(
            encode.show(tokenizer, side, length, answer)
            for row in encoded[:rows]
            for side, answer in zip(row.sides, _ANSWERS[len(row.sides)], strict=True)
        ),
    )


def _encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> Sequence[Encoded]:
    """Pairs where the data holds pairs: what is looked at may have no objective yet."""
    paired = any(example.rejected is not None for example in examples)
    return encode_pairs(tokenizer, examples) if paired else encode_once(tokenizer, examples)
