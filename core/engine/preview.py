"""Answer "what exactly will be learned?" without loading a model."""

from __future__ import annotations

from core import mixing, models
from core.engine import encode
from core.engine.kept_tokens import encode_once
from core.engine.load import load_tokenizer
from core.engine.rows import length_of
from core.recipe import Recipe
from core.tokens import Preview


def preview(recipe: Recipe, rows: int) -> Preview:
    """The first rows as coloured tokens, and counts over the whole set. Raises CoreError."""
    tokenizer = load_tokenizer(models.resolve(recipe.model))
    note = encode.prepare_template(tokenizer)
    mixture = mixing.read(recipe)
    encoded = encode_once(tokenizer, mixture.train)
    length = length_of(recipe, encoded)
    return Preview(
        tokens=encode.count(encoded, length, len(mixture.heldout), note),
        rows=tuple(encode.show(tokenizer, row, length) for row in encoded[:rows]),
    )
