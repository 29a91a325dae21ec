"""Strangers' models and adapters in the real libraries: what gets that far does no harm."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from core import durable
from core.asking import ask
from core.converting import Conversion, convert
from core.engine import __main__ as engine
from core.engine.adapters import open_adapter
from core.engine.load import load_tokenizer, open_weights
from core.errors import CoreError, ModelError, RunError
from core.models import look
from core.places import starter
from core.recipe import Recipe
from tests.core.hostile.adapters import SPARSE, Payload, saved
from tests.core.hostile.watching import watch
from tests.engine.conftest import create, go

pytestmark = [
    pytest.mark.engine, pytest.mark.slow, pytest.mark.filterwarnings("default"),
]  # fmt: skip
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the starter model to be spoiled."""
    return Path(shutil.copytree(starter(), tmp_path / "model"))


def opened(folder: Path) -> Any:
    return open_weights(folder, "cpu", torch.float32)


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def settle(folder: Path, name: str, **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(NORM), "1 weights are missing"),
        (lambda t: t.update({NORM: torch.ones(3)}),
         r"1 weights have another shape .*layers.1.input_layernorm"),
        (lambda t: t.update({"model.layers.0.extra.weight": torch.ones(3)}),
         "1 weights have no place in the model .* model.layers.0.extra.weight"),
    ],
)  # fmt: skip
def test_weights_that_are_not_the_models_are_named(
    change: Callable[[Tensors], object], words: str, model: Path
) -> None:
    rewrite(model, change)
    with pytest.raises(ModelError, match=words):
        opened(model)


def test_a_size_that_no_weight_has_is_refused_by_name(model: Path) -> None:
    settle(model, "config.json", intermediate_size=700)
    with pytest.raises(ModelError, match=r"have another shape .*mlp.down_proj"):
        opened(model)


@pytest.mark.parametrize("change", [{"vocab_size": 4_000_000}, {"head_dim": 65_536}])
def test_a_size_that_takes_all_memory_is_refused_before_loading(
    change: dict[str, int], model: Path
) -> None:
    settle(model, "config.json", **change)
    with pytest.raises(ModelError, match="describes a model of about"):
        opened(model)


@pytest.mark.parametrize("settings", [{"extra_special_tokens": ["<|new|>"]}, {"pad_token": "[P]"}])
def test_tokens_added_beyond_the_embedding_are_named(settings: dict[str, Any], model: Path) -> None:
    settle(model, "tokenizer_config.json", **settings)
    with pytest.raises(ModelError, match=r"add the token .* as number 4,096"):
        load_tokenizer(model)


def test_what_the_file_says_of_attention_is_not_obeyed(model: Path) -> None:
    settle(model, "config.json", _attn_implementation="eager")
    assert opened(model).config._attn_implementation == "sdpa"


def test_what_was_changed_after_the_plan_is_judged_again(model: Path) -> None:
    look(model)
    settle(model, "config.json", attn_implementation="attacker/kernel")
    with watch() as seen, pytest.raises(ModelError, match="names code to download"):
        opened(model)
    assert seen.sockets == []


def adapter(folder: Path, **changes: Any) -> Path:
    """A LoRA of the starter model, with other words in its settings."""
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    made = get_peft_model(opened(starter()), config)
    made.save_pretrained(folder)
    settle(folder, "adapter_config.json", **changes)
    return folder


def test_an_adapters_own_base_is_never_opened(tmp_path: Path, model: Path) -> None:
    made = adapter(tmp_path / "adapter", base_model_name_or_path=str(model))
    base = opened(starter())
    with watch() as seen:
        open_adapter(base, made, "starter")
    assert [path for path in seen.opened if Path(path).is_relative_to(model)] == []
    assert seen.sockets == []


@pytest.mark.parametrize("pattern", [r".*\.q_proj", r"model\.layers\.\d+\.self_attn\.(q_proj)"])
def test_a_pattern_adapts_the_layers_it_names(pattern: str, tmp_path: Path) -> None:
    named = adapter(tmp_path / "named")
    matched = adapter(tmp_path / "matched", target_modules=pattern)
    one, other = (
        {n for n, _ in open_adapter(opened(starter()), f, "starter").named_parameters()}
        for f in (named, matched)
    )
    assert one == other


def test_an_adapter_of_another_model_is_refused_with_both_names(tmp_path: Path) -> None:
    made = adapter(tmp_path / "adapter", base_model_name_or_path="maker/other")
    rewrite(made, lambda t: [t.update({f"{n}x": t.pop(n)}) for n in sorted(t)[:1]])
    with pytest.raises(ModelError, match=r"1 weights of the adapter in .* are missing") as caught:
        open_adapter(opened(starter()), made, "starter")
    assert "made for maker/other; it was opened over starter" in caught.value.hint


def test_spare_weights_of_an_adapter_are_named(tmp_path: Path) -> None:
    made = adapter(tmp_path / "adapter")
    rewrite(made, lambda t: t.update({"base_model.model.x.lora_A.weight": torch.ones(2, 2)}))
    with pytest.raises(ModelError, match=r"have no place in the model: base_model.model.x.lora_A"):
        open_adapter(opened(starter()), made, "starter")


def test_a_pattern_that_a_tokenizer_gives_up_on_ends_in_words(
    tmp_path: Path, model: Path, recipe: Recipe
) -> None:
    """Its engine stops after many tries, with an error that is no Exception."""
    split = {"type": "Split", "pattern": {"Regex": "(a|aa)*c"}, "behavior": "Isolated",
             "invert": False}  # fmt: skip
    settle(model, "tokenizer.json", pre_tokenizer=split)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "a" * 60 + "b c", "answer": "b"}) + "\n")
    chosen = recipe.edit("model", str(model)).edit("data.path", str(rows))
    asked, reply = tmp_path / "recipe.yaml", tmp_path / "reply.json"
    asked.write_text(chosen.edit("data.heldout_share", 0.0).to_yaml())
    assert engine.preview(asked, reply, 1) == 1
    told = json.loads(reply.read_text())
    assert told["error"].startswith("The tokenizer gave up on a text")
    assert "tokenizer.json" in told["hint"]


def test_a_run_touches_no_network_and_a_poisoned_checkpoint_is_not_opened(
    tmp_path: Path, recipe: Recipe
) -> None:
    run = create(tmp_path / "run", recipe.edit("training.max_steps", 2).edit("checks.every", 1))
    with watch() as seen:
        go(run)
    assert seen.sockets == []
    step = run.saved_steps()[0]
    folder, marker = run.checkpoint(step), tmp_path / "marker"
    facts = {k: v for k, v in durable.read_manifest(folder).items() if k not in ("format", "files")}
    import pickle

    (folder / "rng_state.pth").write_bytes(saved(pickle.dumps(Payload(marker), protocol=2)))
    durable.seal(folder, **facts)
    assert run.newest_valid()[0] == step
    with pytest.raises(ModelError, match="holds more than plain tensors"):
        go(run)
    assert not marker.exists()


def test_no_file_that_a_run_saves_is_a_pickle(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe.edit("training.max_steps", 2).edit("checks.every", 1))
    go(run)
    saved_as = {path.suffix for path in run.checkpoint(2).rglob("*") if path.is_file()}
    assert saved_as <= {".json", ".jinja", ".safetensors", ".md"}
    assert ".safetensors" in saved_as
    go(run)


def pickled(model: Path, name: str = "pytorch_model.bin") -> Tensors:
    """The model with its weights in a pickle; returns them."""
    (file,) = model.glob("*.safetensors")
    tensors = load_file(file)
    torch.save(OrderedDict(tensors), model / name)
    file.unlink()
    return tensors


def test_a_converted_model_has_the_same_weights(tmp_path: Path, model: Path) -> None:
    before = pickled(model)
    (model / "run.py").write_text("1/0")
    made = convert(model, tmp_path / "out")
    after = load_file(made.folder / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert look(made.folder).parameters == look(starter()).parameters
    assert "run.py" not in made.files
    opened(made.folder)
    load_tokenizer(made.folder)


def test_shards_of_either_age_are_converted(tmp_path: Path, model: Path) -> None:
    before = pickled(model)
    (model / "pytorch_model.bin").unlink()
    halves = sorted(before)[::2], sorted(before)[1::2]
    for number, names in enumerate(halves, 1):
        part, file = {name: before[name] for name in names}, model / f"pytorch_model-{number}.bin"
        torch.save(part, file, _use_new_zipfile_serialization=number == 1)
    index = {name: f"pytorch_model-{n}.bin" for n, names in enumerate(halves, 1) for name in names}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    made = convert(model, tmp_path / "out")
    assert made.tensors == len(before)
    assert torch.equal(opened(made.folder).state_dict()[NORM], before[NORM].float())


def test_a_converted_adapter_opens(tmp_path: Path) -> None:
    made = adapter(tmp_path / "adapter")
    tensors = load_file(made / "adapter_model.safetensors")
    (made / "adapter_model.safetensors").unlink()
    torch.save(tensors, made / "adapter_model.bin")
    with pytest.raises(ModelError, match="a pickle"):
        open_adapter(opened(starter()), made, "starter")
    open_adapter(opened(starter()), convert(made, tmp_path / "out").folder, "starter")


def _lying() -> Any:
    """Whoever multiplies with it reads far outside of its memory, and the process ends."""
    rows = torch.tensor([0, 2**40, 2**41])
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        return {"a": torch.sparse_csr_tensor(rows, torch.tensor([0]), torch.ones(1), (2, 2))}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_lying, "not a plain tensor"),
        (lambda: {"a": torch.zeros(1).expand(10**9)}, "more than twice its size"),
        (lambda: {"a": "text"}, "not a plain tensor"),
        (lambda: [torch.ones(1)], "no tensors with names"),
    ],
)
def test_the_process_that_converts_refuses_what_it_finds(
    content: Callable[[], Any], words: str, tmp_path: Path
) -> None:
    """As if nobody had read the pickle before."""
    torch.save(content(), tmp_path / "x.bin")
    with pytest.raises(CoreError, match=words):
        _apart(tmp_path)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_program_in_a_pickle_does_not_run_in_that_process_either(tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "marker"
    for content in (saved(pickle.dumps(Payload(marker), protocol=2)), saved(SPARSE)):
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(CoreError):
            _apart(tmp_path)
    assert not marker.exists()


def _apart(folder: Path) -> object:
    asked = Conversion(source=folder / "x.bin", out=folder / "out.safetensors")
    return ask("convert", asked.model_dump_json(), timeout=120, late=RunError("late"))
