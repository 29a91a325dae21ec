"""The recipe: everything a user chose, and nothing a machine computed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, Field, ValidationError

from core.adapt import ADAPTATIONS, Adaptation, Lora
from core.choices import Checks, Training
from core.data_choices import Data, Source
from core.errors import Problem, RecipeError, YamlError
from core.objectives import OBJECTIVES, SFT, Objective
from core.redaction import holds_secret
from core.value import Value
from core.yamls import read_yaml

if TYPE_CHECKING:
    AnyAdaptation: TypeAlias = Adaptation
    AnyObjective: TypeAlias = Objective
else:
    _ADAPTATION, _OBJECTIVE = (reduce(or_, kinds) for kinds in (ADAPTATIONS, OBJECTIVES))
    AnyAdaptation = Annotated[_ADAPTATION, Field(discriminator="kind")]
    AnyObjective = Annotated[_OBJECTIVE, Field(discriminator="kind")]
_UNIONS: dict[str, tuple[type[Value], ...]] = {
    "adaptation": ADAPTATIONS,
    "objective": OBJECTIVES,
}


class Recipe(Value):
    """Everything a user chose. Editing returns a new one; nothing here depends on a machine."""

    version: Literal[1] = 1
    name: str = Field(
        "my-fine-tune", min_length=1, max_length=80, title="Name", description="Shown in the list."
    )
    model: str = Field(
        "starter",
        title="Model",
        description="starter, a folder with config.json and safetensors, or a Hub id.",
    )
    data: Data = Data()
    objective: AnyObjective = SFT()
    adaptation: AnyAdaptation = Lora()
    training: Training = Training()
    checks: Checks = Checks()

    def edit(self, path: str, value: Any) -> Recipe:
        """Return a new, validated recipe with one dotted field changed. Raises RecipeError."""
        raw = self.model_dump(mode="json")
        *parents, leaf = path.split(".")
        node = raw
        for name in parents:
            node = node[name]
        node[leaf] = value.model_dump(mode="json") if isinstance(value, Value) else value
        return parse(raw)

    def get(self, path: str) -> Any:
        """The value at a dotted path."""
        node: Any = self
        for name in path.split("."):
            node = getattr(node, name)
        return node

    @property
    def measured_as(self) -> str:
        """Whose measurements correct its estimates: those of its adaptation, and of its objective
        where that also writes answers, which is work of another kind."""
        kind = str(self.adaptation.kind)
        return f"{kind}, {self.objective.kind}" if self.objective.generates else kind

    def to_yaml(self) -> str:
        """The recipe as YAML, every field under a comment that says what it does."""
        return "\n".join(_yaml_lines(self, "")) + "\n"


def parse(raw: object) -> Recipe:
    """A recipe from plain data. Raises RecipeError that names every fault."""
    if not isinstance(raw, Mapping):
        raise RecipeError([_blocker("", "a recipe is a list of `name: value` lines")])
    _refuse_secrets(raw, "")
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_problems(error)) from error


def _refuse_secrets(node: object, where: str) -> None:
    """A recipe is handed on, and copied into every run. Raises RecipeError."""
    if isinstance(node, str) and holds_secret(node):
        raise RecipeError(
            [_blocker(where, "this holds a token, key or password, and a recipe keeps none")],
            hint="Tokens belong in the environment (HF_TOKEN) or the system's keyring.",
        )
    if isinstance(node, Mapping):
        for name, value in node.items():
            _refuse_secrets(value, f"{where}.{name}" if where else str(name))
    elif isinstance(node, list | tuple):
        for value in node:
            _refuse_secrets(value, where)


def load(path: Path) -> Recipe:
    """Read a recipe file. Raises RecipeError with file, line and what to do."""
    try:
        return parse(read_yaml(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecipeError(
            [_blocker("", f"{path}: {reason}")],
            hint="Check the path, or write a new recipe with `tunesmith new -o recipe.yaml`.",
        ) from error
    except YamlError as error:
        raise RecipeError([_blocker("", str(error))], hint=error.hint) from error
    except RecipeError as error:
        named = [p.model_copy(update={"text": f"{p.text} ({path})"}) for p in error.problems]
        raise RecipeError(named, hint=error.hint or _FIELD_HINT) from error


_FIELD_HINT = "`tunesmith new` prints a recipe with every field and what it means."


def _blocker(where: str, text: str) -> Problem:
    return Problem(level="blocker", where=where, text=text)


def _problems(error: ValidationError) -> Iterator[Problem]:
    for fault in error.errors():
        where = _path(fault["loc"])
        yield _blocker(
            where,
            _sentence(where, fault["type"], fault["msg"], fault.get("input"), fault.get("ctx", {})),
        )


def _path(location: tuple[int | str, ...]) -> str:
    """Where in the recipe, without the union tag pydantic puts behind the union's name."""
    kept: list[str] = []
    for position, part in enumerate(location):
        union = position and location[position - 1] in _UNIONS
        entry = position > 2 and location[position - 2] == "rewards"
        if not entry and not (
            union and isinstance(part, str) and part in _tags(str(location[position - 1]))
        ):
            kept.append(str(part))
    return ".".join(kept)


def _known_kinds(where: str, context: Mapping[str, Any]) -> str:
    """Of the objective or adaptation, or of an entry in a list."""
    listed = str(context.get("expected_tags", "")).replace("'", "")
    return ", ".join(sorted(_tags(where))) if where in _UNIONS else listed


def _tags(union: str) -> set[str]:
    return {kind.model_fields["kind"].default for kind in _UNIONS[union]}


def _sentence(
    where: str, kind: str, message: str, given: object, context: Mapping[str, Any]
) -> str:
    if kind == "extra_forbidden":
        return "unknown field" + _did_you_mean(where)
    if kind.startswith("union_tag"):
        return f"unknown kind; known: {_known_kinds(where, context)}"
    text = message[:1].lower() + message[1:]
    return text if isinstance(given, dict | list) else f"{text}, not {given!r:.60}"


def _did_you_mean(where: str) -> str:
    *parents, leaf = re.sub(r"\.\d+\.", ".0.", where).split(".")
    mixed = Data(mix=(Source(path="rows"),))
    every = [
        Recipe(data=mixed),
        *(Recipe(adaptation=kind()) for kind in ADAPTATIONS),
        *(Recipe(objective=kind()) for kind in OBJECTIVES),
    ]
    names = sorted(set().union(*map(_field_names, every)))
    beside = {n.split(".")[-1]: n for n in names if n.split(".")[:-1] == parents}
    for known in (beside, {n.split(".")[-1]: n for n in reversed(names)}):
        if close := difflib.get_close_matches(leaf, known, n=1):
            return f"; did you mean {known[close[0]]}?"
    return f"; known here: {', '.join(beside)}" if beside else ""


def _field_names(value: BaseModel, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name in type(value).model_fields:
        names.add(prefix + name)
        child = getattr(value, name)
        if isinstance(child, BaseModel):
            names |= _field_names(child, f"{prefix}{name}.")
        elif isinstance(child, tuple) and child and isinstance(child[0], BaseModel):
            names |= _field_names(child[0], f"{prefix}{name}.0.")
    return names


def _yaml_lines(value: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(value).model_fields.items():
        child = getattr(value, name)
        if field.description:
            yield from _comment(field.description, indent)
        if isinstance(child, BaseModel):
            yield f"{indent}{name}:"
            yield from _yaml_lines(child, indent + "  ")
            continue
        yield f"{indent}{name}: {_scalar(child)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        text, 96, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


def _scalar(child: object) -> str:
    plain = [_plain(entry) for entry in child] if isinstance(child, tuple) else child
    # YAML's writer takes U+0085 and its like for line breaks unless they are escaped
    readable = json.dumps(plain, ensure_ascii=False).isprintable()
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=readable, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(entry: object) -> object:
    return entry.model_dump(mode="json") if isinstance(entry, BaseModel) else entry
