"""What does not go with the chosen chat template, or with the lack of one."""

from __future__ import annotations

from collections.abc import Iterator

from core import templates
from core.draft import Draft, Facts
from core.errors import Edit, ModelError, Problem
from core.misfits.base import blocker, tip
from core.models import ModelFacts
from core.recipe import Recipe

FIELD = "data.template"


def of_template(recipe: Recipe, facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """A template must be there, and made of tokens that the model knows."""
    model, choice = facts.model, recipe.data.template
    if not recipe.objective.chats:
        return
    if choice and templates.find(choice) is None:
        yield from _unreadable(choice)
    if model is None or not model.here:
        return
    if choice:
        yield from _unfit(model, choice)
    elif model.template is None:
        yield _lacking(model)


def _unreadable(choice: str) -> Iterator[Problem]:
    try:
        templates.read(choice)
    except ModelError as error:
        yield blocker(FIELD, str(error), Edit(path=FIELD, value="", label="Use the model's own"))


def _lacking(model: ModelFacts) -> Problem:
    return blocker(
        FIELD,
        f"{model.name} has no chat template, so questions and answers cannot be told apart. Choose "
        "a template that its tokenizer has the tokens for, or the model's instruct variant.",
        _use(model),
    )


def _use(model: ModelFacts) -> Edit | None:
    """The template that suits the tokenizer best."""
    fits = [] if model.marks is None else templates.fitting(model.marks, model.end)
    if not fits:
        return None
    return Edit(path=FIELD, value=fits[0].name, label=f"Use {fits[0].title}")


def _unfit(model: ModelFacts, choice: str) -> Iterator[Problem]:
    chosen = templates.find(choice)
    if chosen is not None and model.marks is not None:
        lacking = chosen.missing(model.marks, model.end)
        if lacking:
            yield _split(model, chosen, lacking)
            return
    if model.template is not None:
        yield tip(
            FIELD,
            f"{model.name} has a chat template of its own, which it knows already; "
            f"{templates.title_of(choice)} has to be learned from the rows.",
            Edit(path=FIELD, value="", label="Use the model's own"),
        )


def _split(model: ModelFacts, chosen: templates.ChatTemplate, lacking: tuple[str, ...]) -> Problem:
    fits = ", ".join(one.title for one in templates.fitting(model.marks or (), model.end))
    others = f" Templates that fit: {fits}." if fits else ""
    own = Edit(path=FIELD, value="", label="Use the model's own")
    return blocker(
        FIELD,
        f"The tokenizer of {model.name} lacks {', '.join(lacking)}, which {chosen.title} needs: "
        f"what it does not know as one token is split into pieces, and the model would hardly "
        f"learn where a turn ends.{others}",
        own if model.template is not None else _use(model),
    )
