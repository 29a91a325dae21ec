"""The chat template a recipe chose, put in the place of the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import is_chat_template_stop_token_trained

from core import templates
from core.durable import write_atomically
from core.engine import rendering
from core.errors import ModelError

LONGEST = 100_000
"""Characters that two short messages may become."""
_PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def give_template(tokenizer: PreTrainedTokenizerBase, choice: str, kept: Path | None) -> str:
    """Let the tokenizer write conversations so, and end with what ends an answer.

    Returns what was done, for the user. Raises ModelError when the template cannot be read or
    rendered, when the tokenizer splits a token it needs, or when the end would not be learned.
    """
    tokenizer.chat_template = _text(choice, kept)
    title = templates.title_of(choice)
    rendering.guard(tokenizer.chat_template, title)
    _refuse_split(tokenizer, choice)
    _refuse_unusable(tokenizer, title)
    if not is_chat_template_stop_token_trained(tokenizer):
        raise ModelError(
            f"With {title} the model would never learn to stop: no answer ends, within the "
            "generation marks, with a token that the tokenizer knows as one.",
            hint="Put the end token inside {% generation %}, or choose another template.",
        )
    tokenizer.eos_token = _end(tokenizer)
    return f"{title} was chosen; it is saved with the result"


def stop_at(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the model stop at the tokenizer's end token too, here and wherever it is saved."""
    known = model.generation_config.eos_token_id
    listed = list(known) if isinstance(known, list) else [known]
    ends = [tokenizer.eos_token_id, *listed]
    model.generation_config.eos_token_id = list(
        dict.fromkeys(token for token in ends if token is not None)
    )


def _text(choice: str, kept: Path | None) -> str:
    """The template; a run that goes on takes the one it began with."""
    if kept is None:
        return templates.read(choice)
    if not kept.is_file():
        write_atomically(kept, templates.read(choice))
    return templates.read(str(kept))


def _refuse_split(tokenizer: PreTrainedTokenizerBase, choice: str) -> None:
    chosen = templates.find(choice)
    for token in chosen.tokens if chosen else ():
        if len(tokenizer.encode(token, add_special_tokens=False)) != 1:
            raise ModelError(
                f"{token}, which {templates.title_of(choice)} needs, is not one token of this "
                "model: it would be split into pieces.",
                hint="Choose another template, such as alpaca or vicuna, in data.template.",
            )


def _refuse_unusable(tokenizer: PreTrainedTokenizerBase, title: str) -> None:
    """Render two short messages; a stranger's template may be broken, endless or huge."""
    fault = _fault(_try(tokenizer))
    if fault:
        raise ModelError(f"The chat template {title} {fault}", hint="Choose another template.")


def _try(tokenizer: PreTrainedTokenizerBase) -> str | TemplateError:
    try:
        return str(tokenizer.apply_chat_template(_PROBE, tokenize=False))
    except TemplateError as error:
        return error


def _fault(rendered: str | TemplateError) -> str:
    if isinstance(rendered, TemplateSyntaxError):
        return f"has a mistake in line {rendered.lineno}: {rendered.message}."
    if isinstance(rendered, TemplateError):
        return f"refuses a question and its answer: {rendered}."
    return f"makes {len(rendered):,} characters of two letters." if len(rendered) > LONGEST else ""


def _end(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that ends an answer, as text."""
    made = tokenizer.apply_chat_template(
        _PROBE, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(made["input_ids"], made["assistant_masks"], strict=True)
    added = tokenizer.get_added_vocab().values()
    last = [token for token, learned in pairs if learned and token in added][-1]
    return str(tokenizer.convert_ids_to_tokens(last))
