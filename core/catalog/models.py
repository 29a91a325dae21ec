"""Popular open models, their shapes and facts, before anything is downloaded."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from pydantic import Field

from core import models as models_here
from core.catalog import shapes
from core.catalog.entries import Named, called, check, fault, find, read, section
from core.catalog.shapes import Family, Shape
from core.errors import CoreError, ModelError
from core.models import ModelFacts, hub_folder
from core.places import resources

_FORMATS = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "mxfp4": 4.25 / 8}
"""Bytes per number as published; MXFP4 has a scale of 8 bits for 32 numbers of 4 (OCP MX 1.0)."""


class CatalogModel(Named):
    """One model: what it is called, how large its makers say it is, and its exact shape."""

    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    licence: str
    parameters: int = Field(gt=0)
    """The published count."""
    stored: str = Field("bf16", pattern="^(bf16|fp16|fp32|mxfp4)$")
    shape: Shape
    family: Family

    def names(self) -> tuple[str, ...]:
        """Its name, its Hub id, and further names."""
        return (self.name, self.hub, *self.aliases)

    @property
    def counted(self) -> int:
        """Parameters that follow from the shape."""
        return shapes.parameters(self.shape, self.family)

    def config(self) -> dict[str, Any]:
        """What its config.json says of its shape, enough to build the model."""
        return shapes.config(self.shape, self.family)

    def facts(self) -> ModelFacts:
        """What `core.models.look` would find, were the model downloaded; no chat template."""
        shape = self.shape
        return ModelFacts(
            path=hub_folder(self.hub),
            name=self.hub,
            architecture=self.family.architecture,
            parameters=self.counted,
            hidden=shape.hidden_size,
            layers=shape.num_hidden_layers,
            heads=shape.num_attention_heads,
            kv_heads=shape.num_key_value_heads,
            head_dim=shape.head_width,
            intermediate=shape.intermediate_size,
            vocab=shape.vocab_size,
            tied=shape.tie_word_embeddings,
            context=shape.max_position_embeddings,
            stored=self.stored,
            bytes=round(self.counted * _FORMATS[self.stored]),
            licence=self.licence,
            quantised="mxfp4" if self.stored == "mxfp4" else "",
            linear=shapes.linear_shapes(shape, self.family),
            experts=shape.num_experts,
            experts_used=shape.num_experts_per_tok,
            expert_width=shape.moe_intermediate_size,
            here=False,
        )


@functools.cache
def models() -> tuple[CatalogModel, ...]:
    """Every model of the catalogue, in the order of the file."""
    path = resources() / "catalog" / "models.yaml"
    found = read(path)
    families = {
        kind: check(path, Family, raw, name=f"families.{kind}")
        for kind, raw in section(path, found, "families", dict).items()
    }
    listed = enumerate(section(path, found, "models", list), 1)
    return tuple(_model(path, raw, called(raw, place), families) for place, raw in listed)


def _model(path: Path, raw: dict[str, Any], name: str, families: dict[str, Family]) -> CatalogModel:
    kind = raw["shape"]["model_type"]
    if kind not in families:
        raise fault(path, name, f"shape.model_type: there is no family {kind!r}.")
    return check(path, CatalogModel, raw | {"family": families[kind]}, name=name)


def find_model(name: str) -> CatalogModel:
    """A model by name, alias or Hub id, in any case. Raises CoreError with the nearest names."""
    return find(name, models(), "model")


def look(name: str) -> ModelFacts:
    """A model on this computer, else one whose shape the Hub or the catalogue told.

    Raises ModelError.
    """
    try:
        return models_here.look(models_here.resolve(name))
    except ModelError:
        if models_here.is_hub_id(name) and (told := models_here.look_at_shape(name)):
            return told
        with contextlib.suppress(CoreError):
            return find_model(name).facts()
        raise
