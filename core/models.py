"""A model seen from outside: its configuration, headers, tokenizer and template. No torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import Field

from core import weights
from core.errors import ModelError
from core.model_files import (
    Config,
    chat_template,
    end_token,
    licence,
    parse_config,
    read_config,
    refuse_what_is_no_model,
    tokenizer_size,
    whole_tokens,
)
from core.places import models_home, shapes_home
from core.places import starter as starter_folder
from core.screening import screen
from core.screening.base import read_json
from core.screening.files import check_files
from core.templates import MARKER, TOKENS
from core.value import Value

STARTER = "starter"
"""The name under which a recipe asks for the model that ships with the program."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class ModelFacts(Value):
    """What can be known of a model without loading it."""

    path: Path
    name: str
    architecture: str
    parameters: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    """Rows of the token embedding."""
    tied: bool
    """Whether the output layer is the embedding."""
    context: int
    """Tokens the model was built to read; 0 when it does not say."""
    stored: str
    """Number format of the weights on disk: "bf16", "fp16", "fp32", ..."""
    bytes: int
    """Size of the weight files; 0 when only the shape is known."""
    template: str | None = None
    has_generation: bool = False
    """Whether the chat template marks the assistant's words."""
    marks: tuple[str, ...] | None = None
    """Tokens of chat templates that its tokenizer never splits; None when nobody can tell."""
    end: str = ""
    """The token that ends a text; empty when the tokenizer names none."""
    licence: str = ""
    quantised: str = ""
    """How the checkpoint was quantised ("gptq", "awq", "bitsandbytes", ...); empty when not."""
    linear: dict[str, tuple[int, int]] = Field({})
    """Linear layers of one layer: name -> rows, columns as stored."""
    biases: dict[str, int] = Field({})
    """Numbers in the biases of those that have one."""
    all_biases: int = 0
    """Numbers in all biases of all layers, those of norms included."""
    experts: int = 0
    """Feed-forward parts of a layer among which every token is sent to some; 0 when dense."""
    experts_used: int = 0
    expert_width: int = 0
    """Intermediate size of one expert."""
    attends: bool = True
    """Whether all layers are usual attention, which can keep joined rows apart."""
    here: bool = True
    """Whether its files are on this computer; a catalogue knows the shape of others."""

    @property
    def active(self) -> int:
        """Parameters that one token passes through; fewer than all where experts lie idle."""
        idle = self.experts - self.experts_used
        return self.parameters - self.layers * idle * 3 * self.hidden * self.expert_width


def resolve(model: str) -> Path:
    """The folder of a model: the starter, a local folder, or a downloaded Hub id.

    Raises ModelError when a Hub id is not on this computer; a folder is judged by `look`.
    """
    if model == STARTER:
        return starter_folder()
    if not model.strip():
        raise ModelError(
            "No model is chosen.", hint="Choose the starter model, a folder or a Hub id."
        )
    folder = Path(model).expanduser()
    if folder.exists() or not is_hub_id(model):
        return folder.absolute()
    downloaded = hub_folder(model)
    if not downloaded.is_dir():
        raise ModelError(
            f"{model} is not on this computer.",
            hint=f"Download it on the Model page or with `tunesmith fetch {model}`. Without a "
            "network, copy its folder here and choose the folder.",
        )
    return downloaded


def is_hub_id(text: str) -> bool:
    """Whether this is written like a model on the Hub: owner/name."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text and "--" not in text


def hub_folder(model_id: str) -> Path:
    """Where a downloaded model lies; the Hub allows no `--` in names, so this is unambiguous."""
    return models_home() / model_id.replace("/", "--")


SHAPE = "shape.json"
"""Names, formats and sizes of a model's tensors, beside its config.json."""


def shape_folder(model_id: str) -> Path:
    """Where the shape of a model on the Hub is kept."""
    return shapes_home() / model_id.replace("/", "--")


def look(folder: Path) -> ModelFacts:
    """Everything known of the model in a folder. Raises ModelError."""
    if folder.suffix == ".json" and folder.is_file():
        return shape_from_config(folder)
    if folder.is_dir():
        check_files(folder)
    refuse_what_is_no_model(folder)
    screen(folder)
    return _facts(folder, *weights.read_tensors(folder), tokenizer_size(folder))


def look_at_shape(model_id: str) -> ModelFacts | None:
    """What the Hub told of a model's shape (core/fetch_shape.py); None when it was never asked."""
    folder = shape_folder(model_id)
    try:
        raw = json.loads((folder / SHAPE).read_bytes())
        tensors = {name: weights.Tensor(kind, tuple(sides)) for name, kind, sides in raw["tensors"]}
        size = int(raw["bytes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    known = {"name": model_id, "here": False, "licence": str(raw.get("licence", ""))}
    return _facts(folder, tensors, size, 0).model_copy(update=known)


def _facts(folder: Path, tensors: dict[str, weights.Tensor], size: int, tokens: int) -> ModelFacts:
    """`tokens` are those the tokenizer knows, 0 when that is not known."""
    config = read_config(folder)
    stack, present = weights.text_stack(tensors)
    _refuse_gaps(folder, config.layers, stack, present)
    vocab = _vocabulary(folder, config, tensors, tokens)
    template = chat_template(folder)
    parameters = weights.count_parameters(tensors, tied=config.tied, packed_bits=config.packed_bits)
    _refuse_inflated(folder, config, parameters)
    return ModelFacts(
        path=folder.absolute(),
        name=_name(folder),
        architecture=config.architecture,
        parameters=parameters,
        hidden=config.hidden,
        layers=config.layers or len(present),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        intermediate=config.intermediate,
        vocab=vocab,
        tied=config.tied,
        context=config.context,
        stored=weights.stored_as(tensors),
        bytes=size,
        template=template,
        has_generation=bool(template and MARKER.search(template)),
        marks=whole_tokens(folder, TOKENS),
        end=end_token(folder),
        licence=licence(folder),
        quantised=config.quantised,
        linear=weights.linear_layers(tensors, stack),
        biases=weights.biases(tensors, stack),
        all_biases=weights.count_biases(tensors),
        experts=config.experts,
        experts_used=config.experts_used,
        expert_width=config.expert_width,
        attends=config.attends,
    )


def _name(folder: Path) -> str:
    """A downloaded model is called by its Hub id, the starter by its own name."""
    if folder.absolute() == starter_folder().absolute():
        return STARTER
    if folder.absolute().parent == models_home().absolute():
        return folder.name.replace("--", "/", 1)
    return folder.absolute().name


def _refuse_gaps(folder: Path, layers: int, stack: str, present: set[int]) -> None:
    """A loader fills missing layers with random numbers and says so only on its error stream."""
    if not stack:
        raise ModelError(
            f"{folder}: no stack of transformer layers was found in the weights.",
            hint="Choose a text model such as Qwen, Llama, Mistral, Gemma or SmolLM.",
        )
    missing = sorted(set(range(layers)) - present)
    if missing:
        named = ", ".join(str(number) for number in missing[:5])
        raise ModelError(
            f"{folder}: the weights lack {len(missing)} of {layers} layers (missing: {named}).",
            hint="The model is incomplete. Download it again.",
        )


def _vocabulary(folder: Path, config: Config, tensors: weights.Tensors, known: int) -> int:
    """Rows of the embedding; a token beyond them crashes training, on a GPU without a name."""
    table = weights.embedding(tensors)
    vocab = table.shape[0] if table and not config.packed_bits else config.vocab
    if vocab and known > vocab:
        raise ModelError(
            f"{folder}: the tokenizer knows {known:,} tokens, the model only {vocab:,}.",
            hint="Tokenizer and weights belong to different models; download both again from one "
            "place, or resize the embedding.",
        )
    return vocab


_SIZES = ("hidden", "layers", "heads", "head_dim", "intermediate", "vocab")
"""What the shape of a model without weights is told from."""
_INFLATED, _LARGE = 10, 500_000_000


def _refuse_inflated(folder: Path, config: Config, stored: int) -> None:
    """The library makes room for what the configuration says before it looks at the weights."""
    if min(getattr(config, name) for name in _SIZES) < 1:
        return
    told = _count(config, _linear_shapes(config))
    if told > _LARGE and told > _INFLATED * stored:
        raise ModelError(
            f"{folder}: config.json describes a model of about {told:,} numbers, its weights hold "
            f"{stored:,}.",
            hint="Configuration and weights belong to different models; download both again.",
        )


def shape_from_config(config: Path | dict[str, Any]) -> ModelFacts:
    """The facts of a model that is only a config.json: shapes are those of Llama-like layers.

    Biases and norms of heads are left out of its parameters. Raises ModelError.
    """
    source = config if isinstance(config, Path) else Path("config.json")
    path = source / "config.json" if source.is_dir() else source
    raw = read_json(path) if isinstance(config, Path) else config
    found = parse_config(path, raw)
    for name in _SIZES:
        if getattr(found, name) < 1:
            raise ModelError(
                f"{path}: it does not say what the {name} of the model is.",
                hint="Choose the config.json of a text model such as Qwen, Llama or Mistral.",
            )
    linear = _linear_shapes(found)
    biases = {name: linear[name][0] for name in _biased(found.architecture, raw) if name in linear}
    return ModelFacts(
        path=path.absolute(),
        name=path.absolute().parent.name if path.name == "config.json" else path.stem,
        parameters=_count(found, linear),
        stored="bf16",
        bytes=0,
        linear=linear,
        biases=biases,
        all_biases=found.layers * sum(biases.values()),
        **found.model_dump(exclude={"kind", "packed_bits"}),
    )


def _linear_shapes(config: Config) -> dict[str, tuple[int, int]]:
    """Linear layers of one Llama-like layer; experts are no linear layers."""
    hidden, wide = config.hidden, config.intermediate
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    attention = {
        "q_proj": (queries, hidden), "k_proj": (keys, hidden), "v_proj": (keys, hidden),
        "o_proj": (hidden, queries),
    }  # fmt: skip
    if config.experts:
        return attention
    return attention | {
        "gate_proj": (wide, hidden), "up_proj": (wide, hidden), "down_proj": (hidden, wide),
    }  # fmt: skip


def _biased(architecture: str, raw: dict[str, Any]) -> tuple[str, ...]:
    """Layers that have a bias: in Qwen2 always, in Llama and its relatives when they say so."""
    attention = ("q_proj", "k_proj", "v_proj")
    queries = attention if architecture.startswith("Qwen2") else ()
    outputs = (*attention, "o_proj") if raw.get("attention_bias") else queries
    return (*outputs, *(("gate_proj", "up_proj", "down_proj") if raw.get("mlp_bias") else ()))


def _count(config: Config, linear: dict[str, tuple[int, int]]) -> int:
    """Numbers of linear layers, norms, experts with their router, embedding and output layer."""
    hidden = config.hidden
    layer = sum(rows * columns for rows, columns in linear.values()) + 2 * hidden
    layer += config.experts * hidden * (3 * config.expert_width + 1)
    return config.layers * layer + hidden + config.vocab * hidden * (1 if config.tied else 2)
