"""The catalogue of models and GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.adapt import Full, Lora
from core.catalog import CatalogModel, Gpu, find_gpu, find_model, gpus, models, recognise_gpu
from core.errors import CoreError

USER_FILE = """
sources:
  shop: {{date: "2026-10-01", text: a shop}}
gpus:
  - name: {name}
    vram_bytes: {vram}
    capability: "8.9"
    bandwidth_gb_per_second: 1000
    dense_tflops: {tflops}
    kind: geforce
    source: {source}
    prices: [{{low: {low}, high: 0.9, source: shop}}]
"""
GOOD: dict[str, object] = {
    "name": "RTX 4090", "vram": 48_000_000_000,
    "tflops": 165.2, "source": "shop", "low": 0.8,
}  # fmt: skip


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user's own GPUs would be."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    path = tmp_path / "catalog" / "gpus.yaml"
    path.parent.mkdir()
    return path


def write_own(path: Path, **changed: object) -> None:
    path.write_text(USER_FILE.format(**(GOOD | changed)), encoding="utf-8")


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_the_shape_gives_the_published_parameters(model: CatalogModel) -> None:
    assert model.counted == pytest.approx(model.parameters, rel=0.02)


def test_names_and_hub_ids_are_unique() -> None:
    names = [name.casefold() for model in models() for name in model.names()]
    assert len(models()) >= 60
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "name", ["llama-3.1-8b", "LLAMA3.1-8B", " meta-llama/llama-3.1-8b-instruct "]
)
def test_a_model_is_found_by_any_of_its_names(name: str) -> None:
    assert find_model(name).hub == "meta-llama/Llama-3.1-8B"


def test_an_unknown_model_brings_near_names() -> None:
    with pytest.raises(CoreError, match=r"knows no model 'lama-3\.1-8b'") as caught:
        find_model("lama-3.1-8b")
    assert "Did you mean llama-3.1-8b" in caught.value.hint


def test_a_name_like_no_other_brings_examples() -> None:
    with pytest.raises(CoreError) as caught:
        find_gpu("§§§")
    assert "RTX 2080 Ti" in caught.value.hint


def test_facts_serve_an_adaptation() -> None:
    facts = find_model("llama-3.1-8b").facts()
    assert Full().trainable(facts) == 8_030_261_248
    assert Lora(rank=16).trainable(facts) == 41_943_040  # PEFT, all-linear, rank 16
    assert facts.head_dim == 128


def test_a_mixture_has_experts_in_its_facts() -> None:
    facts = find_model("qwen3-30b-a3b").facts()
    assert (facts.experts, facts.experts_used, facts.expert_width) == (128, 8, 768)
    assert find_model("llama-3.1-8b").facts().experts == 0


@pytest.mark.parametrize(
    ("name", "layer", "stored"),
    [
        ("gpt2", "c_attn", (768, 2304)),
        ("phi-4", "gate_up_proj", (35_840, 5120)),
        ("falcon-7b", "query_key_value", (4672, 4544)),
        ("qwen1.5-moe-a2.7b", "down_proj", (2048, 5632)),
    ],
)
def test_layers_are_listed_as_they_are_stored(
    name: str, layer: str, stored: tuple[int, int]
) -> None:
    assert find_model(name).facts().linear[layer] == stored


@pytest.mark.parametrize(
    ("name", "billions"),
    [("mixtral-8x7b", 12.9), ("qwen3-30b-a3b", 3.3), ("gpt-oss-20b", 3.6 + 0.58)],
)
def test_idle_experts_are_not_active(name: str, billions: float) -> None:
    """As published; gpt-oss publishes it without its embedding of 0.58 billion."""
    assert find_model(name).facts().active / 1e9 == pytest.approx(billions, rel=0.02)


def test_gpus_are_plausible() -> None:
    listed = gpus()
    assert len(listed) >= 30
    for gpu in listed:
        assert 7e9 < gpu.vram_bytes < 210e9, gpu.name
        assert any(price.basis == "typical" for price in gpu.prices), gpu.name
    assert [gpu.name for gpu in listed if not gpu.supported] == ["MI300X"]
    assert find_gpu("t4").vram_bytes == 14_912 * 2**20


def test_gpu_names_are_unique() -> None:
    names = [name.casefold() for gpu in gpus() for name in gpu.names()]
    assert sorted(set(names)) == sorted(names)


def test_a_machine_of_eight_has_its_own_price() -> None:
    assert find_gpu("H100").hourly(8, "planning") == (80, 100)
    assert find_gpu("H100").hourly(4, "planning") == (32, 48)
    assert find_gpu("L4").hourly(2, "planning") == (0.88, 1.56)


def test_the_users_own_entry_wins(own_file: Path) -> None:
    before = len(gpus())
    write_own(own_file)
    assert find_gpu("RTX 4090").vram_bytes == 48_000_000_000
    assert find_gpu("rtx 4090").prices[0].source.text == "a shop"
    write_own(own_file, name="RTX 9090", source="makers")
    assert len(gpus()) == before + 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"vram": "much"}, "RTX 4090: vram_bytes: "),
        ({"tflops": -1}, "RTX 4090: dense_tflops: "),
        ({"source": "nowhere"}, "RTX 4090: source: 'nowhere'"),
        ({"low": 2}, "RTX 4090: prices: low is above high"),
        ({"name": "[1]"}, "entry 1: name: "),
    ],
)
def test_a_fault_in_the_users_file_is_named(
    own_file: Path, changed: dict[str, object], words: str
) -> None:
    write_own(own_file, **changed)
    with pytest.raises(CoreError) as caught:
        gpus()
    assert f"{own_file}: {words}" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "`name: value` lines"),
        ("sources: {}", "gpus is missing"),
        ("gpus: [5]", "entry 1"),
        ("gpus: [", ":1:8"),
        ("a: &a 1\nb: *a", "line 2: YAML aliases"),
    ],
)
def test_a_file_that_is_no_catalogue_is_named(own_file: Path, text: str, words: str) -> None:
    own_file.write_text(text, encoding="utf-8")
    with pytest.raises(CoreError) as caught:
        gpus()
    assert str(own_file) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("gpu", gpus(), ids=lambda gpu: gpu.name)
def test_a_card_is_recognised_by_its_own_name(gpu: Gpu) -> None:
    assert recognise_gpu(gpu.name, gpu.vram_bytes) == gpu


@pytest.mark.parametrize(
    ("driver", "gigabytes", "name"),
    [
        ("NVIDIA GeForce RTX 4090", 25.8, "RTX 4090"),
        ("NVIDIA A100-SXM4-80GB", 85.0, "A100 80GB"),
        ("NVIDIA A100 80GB PCIe", 85.0, "A100 80GB PCIe"),
        ("NVIDIA H100 80GB HBM3", 85.0, "H100 SXM"),
        ("Tesla T4", 15.8, "T4"),
        ("NVIDIA GeForce RTX 4060 Ti", 17.0, "RTX 4060 Ti 16GB"),
        ("NVIDIA RTX 6000 Ada Generation", 51.0, "RTX 6000 Ada"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 17.1, None),
        ("NVIDIA GeForce GTX 1080", 8.5, None),
    ],
)
def test_cards_as_drivers_call_them(driver: str, gigabytes: float, name: str | None) -> None:
    found = recognise_gpu(driver, round(gigabytes * 1e9))
    assert (found.name if found else None) == name
