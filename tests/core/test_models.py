"""Models seen from outside: what is known of good ones, and how bad ones are refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ModelError
from core.models import look, resolve
from core.places import models_home, starter
from core.weights import INDEX, Tensor, linear_layers, read_header
from tests.core.model_folders import CONFIG, LAYER, VOCAB, safetensors, shapes, write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny")


def _sizes() -> int:
    return sum(rows * (columns[0] if columns else 1) for rows, *columns in shapes().values())


def _refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        look(folder)
    assert caught.value.hint, "a refusal without a way out"
    assert str(folder) in str(caught.value), "a refusal that does not say where"
    return caught.value


def _config(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def test_a_model_is_read_from_its_headers(folder: Path) -> None:
    facts = look(folder)
    assert (facts.name, facts.architecture, facts.licence) == (
        "tiny",
        "LlamaForCausalLM",
        "apache-2.0",
    )
    assert (facts.hidden, facts.layers, facts.heads, facts.kv_heads, facts.head_dim) == (
        16,
        2,
        4,
        2,
        4,
    )
    assert (facts.intermediate, facts.vocab, facts.context) == (48, VOCAB, 128)
    assert facts.parameters == _sizes()
    assert (facts.stored, facts.tied, facts.quantised) == ("bf16", True, "")
    assert facts.bytes == (folder / "model.safetensors").stat().st_size
    assert facts.has_generation
    assert facts.linear == {
        name.split(".")[1]: shape for name, shape in LAYER.items() if len(shape) == 2
    }


def test_the_starter_is_a_good_model() -> None:
    facts = look(resolve("starter"))
    assert facts.name == "starter"
    assert facts.has_generation
    assert facts.parameters * 2 < facts.bytes


def test_a_tied_output_layer_that_is_stored_counts_once(folder: Path) -> None:
    with_head = {**shapes(), "lm_head.weight": (VOCAB, 16)}
    (folder / "model.safetensors").write_bytes(safetensors(with_head))
    assert look(folder).parameters == _sizes()
    _config(folder, tie_word_embeddings=False)
    assert look(folder).parameters == _sizes() + VOCAB * 16


def test_shards_are_added_up(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = list(shapes())
    weight_map = {}
    for number, part in enumerate((names[:5], names[5:]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        (folder / file).write_bytes(safetensors({name: shapes()[name] for name in part}))
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert look(folder).parameters == _sizes()
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors is missing" in str(_refusal(folder))


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors",
             "weights.bin"]
)  # fmt: skip
def test_an_index_cannot_point_outside_its_folder(name: str, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    assert "outside the folder" in str(_refusal(folder))


@pytest.mark.parametrize("text", ["", "{}", '{"weight_map": []}', '{"weight_map": {}}', "{"])
def test_a_broken_index_is_named(text: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / INDEX).write_text(text)
    assert "not a readable index" in str(_refusal(folder))


def test_names_of_other_families_are_understood(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "gpt2", model_type="gpt2")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 4,
                    "n_positions": 64, "vocab_size": VOCAB})
    )  # fmt: skip
    tensors = {
        "wte.weight": (VOCAB, 16), "wpe.weight": (64, 16), "h.0.attn.c_attn.weight": (16, 48),
        "h.0.attn.c_proj.weight": (16, 16), "h.0.mlp.c_fc.weight": (16, 64),
        "h.0.mlp.c_proj.weight": (64, 16), "h.0.ln_1.weight": (16,),
    }  # fmt: skip
    (folder / "model.safetensors").write_bytes(safetensors(tensors, "F32"))
    facts = look(folder)
    assert (facts.hidden, facts.layers, facts.context, facts.intermediate) == (16, 1, 64, 64)
    assert facts.tied
    assert facts.linear == {
        "c_attn": (16, 48), "attn.c_proj": (16, 16), "c_fc": (16, 64), "mlp.c_proj": (64, 16),
    }  # fmt: skip


def test_a_model_that_also_sees_is_read_by_its_text_part(folder: Path) -> None:
    inner = {key: CONFIG[key] for key in CONFIG if key not in ("architectures", "model_type")}
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
                    "text_config": inner, "vision_config": {"num_hidden_layers": 27}})
    )  # fmt: skip
    seeing = {f"vision_tower.layers.{n}.q_proj.weight": (99, 99) for n in range(27)}
    text = {f"language_model.{name}": shape for name, shape in shapes().items()}
    (folder / "model.safetensors").write_bytes(safetensors(seeing | text))
    facts = look(folder)
    assert (facts.layers, facts.hidden, facts.vocab) == (2, 16, VOCAB)
    assert facts.linear["q_proj"] == (16, 16)


def test_fused_layers_keep_their_names(folder: Path) -> None:
    fused = {
        name: shape
        for name, shape in shapes().items()
        if "k_proj" not in name and "v_proj" not in name
    } | {f"model.layers.{n}.self_attn.qkv_proj.weight": (32, 16) for n in range(2)}
    (folder / "model.safetensors").write_bytes(safetensors(fused))
    assert look(folder).linear["qkv_proj"] == (32, 16)


@pytest.mark.parametrize(
    ("found", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"load_in_4bit": True}, "bitsandbytes"),
    ],
)
def test_a_quantised_checkpoint_is_called_that(
    found: dict[str, object], method: str, folder: Path
) -> None:
    _config(folder, quantization_config=found)
    assert look(folder).quantised == method


@pytest.mark.parametrize("router", ["mlp.gate", "block_sparse_moe.gate", "mlp.router"])
def test_experts_and_their_router_are_no_linear_layers(router: str) -> None:
    """Loading stacks them, so that they are neither stored in 4 bits nor adapted as such."""
    shapes = {
        "self_attn.q_proj": (16, 16), "mlp.shared_expert_gate": (1, 16), router: (8, 16),
        "mlp.experts.0.up_proj": (32, 16), "mlp.experts.1.up_proj": (32, 16),
    }  # fmt: skip
    tensors = {f"layers.0.{name}.weight": Tensor("BF16", shape) for name, shape in shapes.items()}
    assert set(linear_layers(tensors, "layers.")) == {"q_proj", "shared_expert_gate"}


def test_packed_numbers_are_counted_one_by_one(folder: Path) -> None:
    _config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    packed = {f"model.layers.{n}.mlp.up_proj.qweight": (2, 48) for n in range(2)}
    scales = {f"model.layers.{n}.mlp.up_proj.scales": (1, 48) for n in range(2)}
    (folder / "model.safetensors").write_bytes(safetensors(packed | scales, "I32"))
    assert look(folder).parameters == 2 * 16 * 48


@pytest.mark.parametrize("place", ["chat_template.json", "tokenizer_config.json", "named"])
def test_templates_are_found_where_they_may_be(place: str, folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert look(folder).template is None
    template: object = "{{ messages }}"
    if place == "named":
        template = [
            {"name": "tool_use", "template": "x"},
            {"name": "default", "template": template},
        ]
        place = "tokenizer_config.json"
    (folder / place).write_text(json.dumps({"chat_template": template}))
    facts = look(folder)
    assert facts.template == "{{ messages }}"
    assert not facts.has_generation


def _delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: folder.joinpath(name).write_bytes(content) and None


def _set(**changes: object) -> Callable[[Path], None]:
    return lambda folder: _config(folder, **changes)


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "maker/base"}')


def _gguf_only(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "model-q4.gguf")


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def _lose_a_layer(folder: Path) -> None:
    kept = {name: shape for name, shape in shapes().items() if ".layers.1." not in name}
    (folder / "model.safetensors").write_bytes(safetensors(kept))


def _lie_about_a_shape(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"shape": [48, 16]', b'"shape": [49, 16]', 1))


BIG_TOKENIZER = json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": VOCAB}]}).encode()
REFUSALS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no config": (_delete("config.json"), "no config.json", "config.json"),
    "empty config": (_write("config.json", b" "), "is empty", "damaged"),
    "broken config": (_write("config.json", b'{\n "a": }'), "config.json:2:7", "damaged"),
    "config is a list": (_write("config.json", b"[]"), "not a JSON object", "damaged"),
    "config is not text": (_write("config.json", b"\xff\xfe\x00"), "config.json", "damaged"),
    "deep config": (_write("config.json", b"[" * 100_000), "config.json", "damaged"),
    "huge config": (_write("config.json", b" " * 10_000_001), "larger than 10 MB", "damaged"),
    "pickle": (_pickle_only, "pytorch_model.bin, a pickle", "models convert"),
    "no weights": (_delete("model.safetensors"), "no weights", "Download"),
    "adapter": (_adapter, "an adapter, not a whole model", "maker/base"),
    "both": (_write("adapter_config.json", b"{}"), "both a model and an adapter", "Move"),
    "gguf": (_gguf_only, "GGUF", "safetensors"),
    "cut weights": (_cut, "the tensors need", "Download"),
    "empty weights": (_write("model.safetensors", b""), "too few", "Download"),
    "wild header": (_write("model.safetensors", struct.pack("<Q", 2**60) + b"{}"),
                    "its header claims", "Download"),
    "lost layer": (_lose_a_layer, "lack 1 of 2 layers", "incomplete"),
    "false shape": (_lie_about_a_shape, "which is not its shape", "Download"),
    "no tokenizer": (_delete("tokenizer.json"), "no tokenizer", "Copy the tokenizer"),
    "large tokenizer": (_write("tokenizer.json", BIG_TOKENIZER), "knows 33 tokens",
                        "different models"),
    "odd tokenizer": (_write("tokenizer.json", b'{"model": 1}'), "not a tokenizer", "damaged"),
    "custom code": (_set(model_type="strange", auto_map={"AutoModelForCausalLM": "x.Y"}),
                    "needs Python code", "Qwen"),
    "kernel to download": (_set(_attn_implementation="someone/kernel"), "names code", "Remove"),
    "kind with a newline": (_set(model_type="llama\nimport os"), "model_type", "damaged"),
    "no kind": (_set(model_type=None), "model_type", "damaged"),
    "size bomb": (_set(num_hidden_layers=2_000_000), "num_hidden_layers is 2000000", "damaged"),
    "negative size": (_set(vocab_size=-1), "vocab_size is -1", "damaged"),
    "size as text": (_set(hidden_size="16"), "hidden_size is '16'", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_trained_is_refused(name: str, folder: Path) -> None:
    spoil, words, way_out = REFUSALS[name]
    spoil(folder)
    error = _refusal(folder)
    assert words in str(error)
    assert way_out in error.hint


def test_own_classes_win_over_code_of_the_author(folder: Path) -> None:
    pytest.importorskip("transformers", reason="its families are listed in its folder")
    _config(folder, auto_map={"AutoModelForCausalLM": "modeling.Own"})
    assert look(folder).architecture == "LlamaForCausalLM"


def test_files_and_missing_folders_are_refused(folder: Path) -> None:
    assert "There is no folder" in str(_refusal(folder / "missing"))
    file = folder / "README.md"
    assert str(folder) in _refusal(file).hint
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    assert "GGUF" in str(_refusal(file))


def test_an_inner_model_folder_is_pointed_at(folder: Path) -> None:
    assert f"Did you mean {folder}" in _refusal(folder.parent).hint


def test_names_lead_to_folders(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("starter") == starter()
    assert resolve(str(folder)) == folder
    with pytest.raises(ModelError, match="maker/tiny is not on this computer") as caught:
        resolve("maker/tiny")
    assert "tunesmith fetch maker/tiny" in caught.value.hint
    folder.parent.joinpath("home", "models").mkdir(parents=True)
    folder.rename(models_home() / "maker--tiny")
    assert look(resolve("maker/tiny")).name == "maker/tiny"
    with pytest.raises(ModelError, match="No model"):
        resolve(" ")


@pytest.mark.parametrize("text", ["../../nowhere/x", "maker/..", "a/b/c", "a--b/c", "/nowhere/x"])
def test_what_is_no_id_never_reaches_the_store(text: str) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        look(resolve(text))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_damaged_headers_are_refused_and_never_crash(
    position: int, value: int, cut: int, tmp_path: Path
) -> None:
    raw = bytearray(safetensors({"a.weight": (4, 4), "b.weight": (2,)}))
    raw[position % len(raw)] = value
    file = tmp_path / "x.safetensors"
    file.write_bytes(raw[: len(raw) - cut % 8])
    try:
        found = read_header(file)
    except ModelError as error:
        assert str(file) in str(error)  # noqa: PT017 - reading it is as right as refusing it
    else:
        assert all(isinstance(side, int) for tensor in found.values() for side in tensor.shape)
