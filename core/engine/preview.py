"""Answer "what exactly will be learned?" without loading a model."""

from __future__ import annotations

from core import models
from core.engine import encode
from core.engine.load import load_tokenizer
from core.engine.rows import read
from core.recipe import Recipe
from core.tokens import Preview


def preview(recipe: Recipe, rows: int) -> Preview:
    """The first rows as coloured tokens, and counts over the whole set. Raises CoreError."""
    tokenizer = load_tokenizer(models.resolve(recipe.model))
    note = encode.prepare_template(tokenizer)
    train, heldout, _ = read(recipe)
    encoded = encode.encode(tokenizer, train)
    length = recipe.training.max_length
    return Preview(
        tokens=encode.count(
            encoded, length, len(heldout), note, encode.end_token(tokenizer, encoded)
        ),
        rows=tuple(encode.show(tokenizer, row, length) for row in encoded[:rows]),
    )
