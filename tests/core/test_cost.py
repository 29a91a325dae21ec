"""Speed, money, fitting GPUs and rules of thumb."""

from __future__ import annotations

import pytest

from core.adapt import Adaptation, Freeze, Full, Lora, QLora
from core.catalog import Gpu, find_gpu, find_model, gpus
from core.memory.choice import Option, best, options, verdict
from core.memory.cost import (
    Method,
    Work,
    flops_per_token,
    hours_per_million_tokens,
    scaling,
    tokens_per_second,
    usd_per_million_tokens,
)
from core.memory.rules import RULES, compared, rule_for

GIB = 2**30
METHODS: dict[Method, Adaptation] = {"lora": Lora(), "qlora": QLora(), "full": Full()}


def work(method: Method = "lora", *, length: int = 2048, recompute: bool = True) -> Work:
    facts = find_model("llama-3.1-8b").facts()
    return Work.of(facts, METHODS[method], length=length, recompute=recompute)


@pytest.mark.parametrize(("method", "measured"), [("lora", 3083), ("qlora", 2413), ("full", 1650)])
def test_torchtune_on_an_rtx_4090(method: Method, measured: int) -> None:
    predicted = tokens_per_second(work(method), find_gpu("RTX 4090"))
    assert predicted == pytest.approx(measured, rel=0.15)


def test_torchtitan_on_an_h100() -> None:
    predicted = tokens_per_second(work("full", length=8192, recompute=False), find_gpu("H100 SXM"))
    assert predicted == pytest.approx(5762, rel=0.15)


def test_arithmetic_by_method() -> None:
    plain = {"multiplied": 1_000_000, "passed": 1_000_000, "layers": 2, "depth": 2}
    plain |= {"width": 64, "length": 10}
    attention = 2 * 2 * 64 * 10

    def count(method: Method, *, recompute: bool) -> int:
        renewed = 1_000_000 if method == "full" else 0
        return flops_per_token(Work(method=method, recompute=recompute, renewed=renewed, **plain))

    assert count("full", recompute=False) == 6_000_000 + 3 * attention
    assert count("full", recompute=True) == 8_000_000 + 4 * attention
    assert count("lora", recompute=False) == 4_000_000 + 3 * attention
    assert count("qlora", recompute=True) == 6_000_000 + 4 * attention


def test_frozen_layers_below_the_trained_ones_are_only_read() -> None:
    """Backward ends at the lowest trained part, as it does for memory."""
    model = find_model("llama-3.1-8b").facts()
    table, width = model.vocab * model.hidden, model.heads * model.head_dim
    blocks = model.active - 2 * table

    def count(adaptation: Adaptation) -> int:
        return flops_per_token(Work.of(model, adaptation, length=10))

    last = 8 / model.layers
    attention = 2 * width * 10 * (model.layers + 2 * 8)
    expected = 2 * (blocks * (1 + 2 * last) + 2 * table) + attention
    assert count(Freeze(last=8)) == pytest.approx(expected, rel=1e-6)
    assert count(Freeze(last=8, head=True)) - count(Freeze(last=8)) == 2 * table
    through = count(Freeze(last=8, norms=True)) - count(Freeze(last=8))
    assert through == pytest.approx(2 * blocks * (1 - last) + 2 * 24 * 2 * width * 10, rel=1e-6)
    assert count(Freeze(last=model.layers, head=True)) == count(Full())


def test_lookups_and_idle_experts_cost_nothing() -> None:
    model = find_model("qwen3-30b-a3b").facts()
    done = Work.of(model, Lora(), length=1)
    assert done.multiplied == model.active - 151_936 * 2048
    tied = find_model("llama-3.2-1b").facts()
    assert Work.of(tied, Lora(), length=1).multiplied == tied.parameters


def test_several_gpus_are_faster_but_less_than_their_number() -> None:
    nvlink, pcie = find_gpu("A100 80GB"), find_gpu("RTX 4090")
    assert scaling(nvlink, 1) == scaling(pcie, 1) == 1
    assert 8 > scaling(nvlink, 8) > scaling(pcie, 8) > 4


def test_hours_and_dollars_agree() -> None:
    gpu = find_gpu("RTX 4090")
    hours = hours_per_million_tokens(work(), gpu, 2)
    assert hours * 3600 * tokens_per_second(work(), gpu, 2) == pytest.approx(1e6)
    low, high = usd_per_million_tokens(work(), gpu, 2, "planning")
    assert low == high == pytest.approx(hours * 2 * 0.50)


@pytest.mark.parametrize(
    ("needed", "expected"), [(95, "fits"), (96, "tight"), (100, "tight"), (101, "no")]
)
def test_the_last_five_percent_are_tight(needed: int, expected: str) -> None:
    assert verdict(needed, 100) == expected


def judged(total: int, *, shares: bool = True) -> tuple[Option, ...]:
    """Options for a training that needs so many bytes, split among the GPUs or not."""

    def needed(gpu: Gpu, count: int, sharding: str) -> int:
        assert (sharding == "none") == (count == 1)
        return total // count if shares else total

    return options(needed, work(), gpus())


def by_name(found: tuple[Option, ...]) -> dict[str, Option]:
    return {option.name: option for option in found}


def test_the_smallest_count_that_fits_is_offered() -> None:
    found = by_name(judged(40 * GIB))
    assert found["RTX 4090"].count == 2
    assert found["RTX 3060 12GB"].count == 4
    assert found["A100 80GB"].count == 1
    assert found["A100 80GB"].sharding == "none"
    assert found["RTX 4090"].headroom_bytes == find_gpu("RTX 4090").vram_bytes - 20 * GIB
    assert "MI300X" not in found


def test_what_fits_stands_first_then_few_then_cheap_ones() -> None:
    found = judged(60 * GIB, shares=False)
    fitting = [option for option in found if option.fits != "no"]
    assert 0 < len(fitting) < len(found)
    assert list(found[: len(fitting)]) == fitting
    order = [(option.count, option.usd) for option in fitting]
    assert order == sorted(order)
    assert all(option.headroom_bytes < 0 and option.count == 8 for option in found[len(fitting) :])


def test_the_best_are_few_and_have_room_to_spare() -> None:
    found = judged(40 * GIB)
    chosen = best(found)
    assert chosen is not None
    assert (chosen.fits, chosen.count) == ("fits", 1)
    assert chosen.usd == min(o.usd for o in found if o.fits == "fits" and o.count == 1)


def test_a_tight_one_is_better_than_none() -> None:
    room = max(gpu.vram_bytes for gpu in gpus() if gpu.supported)
    chosen = best(judged(room - 1, shares=False))
    assert chosen is not None
    assert (chosen.name, chosen.fits) == ("B200", "tight")
    assert best(judged(room + 1, shares=False)) is None


def test_an_unsure_estimate_is_tight_earlier() -> None:
    assert verdict(90, 100) == "fits"
    assert verdict(90, 100, band=0.15) == "tight"
    assert verdict(85, 100, band=0.15) == "fits"


def test_a_rule_speaks_of_near_sizes_only() -> None:
    assert rule_for(6_738_415_616) == RULES[0]
    assert rule_for(8_030_261_248) == RULES[0]
    assert rule_for(70_553_706_496) == RULES[2]
    assert rule_for(3_000_000_000) is None
    assert compared("lora", 3_000_000_000, 1) == ""


def test_a_computed_figure_is_set_beside_the_rule() -> None:
    said = compared("full", 6_738_415_616, 120_000_000_000)
    assert "7B says 112.0 GB, computed are 120.0 GB (+7%)" in said
    assert "16 bytes per parameter" in said
    assert "half a byte" in compared("qlora", 13_000_000_000, 10**10)
