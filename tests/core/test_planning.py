"""`tunesmith plan`: verdict, time, money, other GPUs, and what would make it fit."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from core.adapt import Full, Lora, QLora
from core.catalog import find_gpu, find_model
from core.machine import read_machine
from core.memory import Setup
from core.offers import offer, offers, planned_for
from core.plan import Facts, make_plan
from core.plan_page import gpus_csv, items_csv, page
from core.recipe import parse
from tests.core.test_cli import call, document

LLAMA = ("plan", "--model", "llama-3.1-8b", "--seq-len", "2048", "--micro-batch", "1")
EIGHT = find_model("llama-3.1-8b").facts()


def test_a_model_and_a_card_that_are_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, *LLAMA, "--adapt", "qlora", "--gpu", "RTX 4090")
    assert (found["fits"], found["verdict"]) == (True, "fits")
    mine = found["gpus"][0]
    assert (mine["name"], mine["count"], mine["fits"]) == ("RTX 4090", 1, True)
    assert mine["needed_bytes"] == found["memory"]["total_bytes"]
    assert mine["headroom_bytes"] == mine["vram_bytes"] - mine["needed_bytes"]
    assert found["gpus_tokens"] == 1_000_000
    low, high = mine["cost_usd_range"]
    rate = find_gpu("RTX 4090").hourly()
    assert (low, high) == pytest.approx((mine["hours"] * rate[0], mine["hours"] * rate[1]))
    assert len({gpu["name"] for gpu in found["gpus"]}) == len(found["gpus"]) > 20


def test_the_terminal_says_it_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, *LLAMA, "--adapt", "qlora", "--gpu", "RTX 4090")
    assert "Fits, " in out
    assert "On RTX 4090, a million tokens take about " in out
    assert "The fewest and cheapest GPUs with room to spare: " in out
    assert "The rule of thumb for 7B says 6.0 GB" in out


def test_what_does_not_fit_says_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*LLAMA[:-1], "16", "--adapt", "lora", "--gpu", "RTX 4090")
    found = document(capsys, *words)
    assert (found["fits"], found["verdict"]) == (False, "no")
    _, out, _ = call(capsys, *words)
    assert "Does not fit: " in out
    assert "What makes it fit, one after the other:" in out
    assert "Batch 16 to 8, accumulation 1 to 2" in out


def test_a_page_to_share_needs_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "plan.html"
    status, _, _ = call(capsys, *LLAMA, "--gpu", "RTX 4090", "--html", str(path))
    assert status == 0
    text = path.read_text(encoding="utf-8")
    assert "RTX 4090" in text
    assert not re.search(r"<script|src=|href=|https?:", text)
    status, _, err = call(capsys, *LLAMA, "--html", str(path))
    assert status == 2
    assert "exists already" in err


def test_nothing_in_a_page_is_taken_for_markup() -> None:
    recipe = parse({"name": "<b>x</b>", "model": "<img src=x>"})
    text = page(recipe, make_plan(recipe, Facts(machine=read_machine())), ())
    assert "<img" not in text
    assert "<b>" not in text


def test_tables_for_a_spreadsheet() -> None:
    recipe = parse({"model": "llama-3.1-8b"})
    made = make_plan(recipe, Facts(machine=read_machine(), model=EIGHT))
    rows = list(csv.DictReader(io.StringIO(items_csv(made))))
    assert sum(int(row["bytes"]) for row in rows[:-1]) == int(rows[-1]["bytes"]) == made.needed
    options = offers(EIGHT, Lora(), Setup())
    listed = list(csv.DictReader(io.StringIO(gpus_csv(options, None))))
    assert [row["gpu"] for row in listed] == [option.name for option in options]


def test_objectives_that_generate_have_no_time_yet(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*LLAMA, "--gpu", "H100", "--objective")
    found = document(capsys, *words, "ppo")
    assert found["gpus"][0]["hours"] is None
    assert found["memory"]["band"] == 0.15
    assert "compared with neither" in found["memory"]["note"]
    _, out, _ = call(capsys, *words, "ppo")
    assert "Time and money are known for SFT and DPO only" in out
    pairs, imitated = (
        document(capsys, *words, kind)["gpus"][0]["hours"] for kind in ("dpo", "sft")
    )
    assert pairs > imitated, "the reference reads every token too"


def test_what_fits_nowhere_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--model", "llama-3.1-405b", "--adapt", "full", "--gpu", "T4")
    _, out, _ = call(capsys, *words)
    assert "No choice of batch, length or method makes it fit there." in out


def test_several_gpus_share(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*LLAMA, "--adapt", "full", "--gpu", "A100 80GB", "--checkpointing", "on")
    one = document(capsys, *words)
    four = document(capsys, *words, "--num-gpus", "4")
    apart = document(capsys, *words, "--num-gpus", "4", "--sharding", "ddp")
    whole = one["memory"]["total_bytes"]
    assert four["memory"]["total_bytes"] < whole < apart["memory"]["total_bytes"]
    assert (four["gpus"][0]["count"], four["gpus"][0]["sharding"]) == (4, "fsdp")
    offloaded = document(capsys, *words, "--sharding", "zero2", "--offload", "on")
    assert offloaded["memory"]["host_bytes"] > 0


@pytest.mark.parametrize(
    "words", [("--num-gpus", "2", "--sharding", "none"), ("--sharding", "fsdp"),
              ("--num-gpus", "0")]
)  # fmt: skip
def test_contradictions_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    status, _, err = call(capsys, *LLAMA, *words)
    assert status == 2
    assert "hint:" in err


def test_an_unknown_model_names_both_places(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "plan", "--model", "nobody/no-such-model")
    assert status == 2
    assert "is not on this computer" in err


def test_a_plan_for_another_card_cannot_be_started() -> None:
    machine = planned_for(read_machine(), find_gpu("RTX 4090"))
    recipe = parse({"model": "llama-3.1-8b", "adaptation": {"kind": "qlora"}})
    made = make_plan(recipe, Facts(machine=machine, model=EIGHT))
    assert made.bill is not None
    assert made.settings is None
    said = [problem.text for problem in made.blockers]
    assert any("not in this computer" in text for text in said)
    assert any("is not on this computer" in text for text in said)
    assert not any("chat template" in text for text in said)


def test_offers_are_the_step_itself() -> None:
    setup = Setup(length=2048, checkpointing=True)
    single = offer(EIGHT, QLora(), setup, find_gpu("RTX 4090"))
    listed = {option.name: option for option in offers(EIGHT, QLora(), setup)}
    assert listed["RTX 4090"] == single
    assert offer(EIGHT, Full(), setup, find_gpu("RTX 4090")).fits == "no"
    assert listed["T4"].needed_bytes > single.needed_bytes  # 32 bits before Ampere


def test_lora_costs_less_time_than_full() -> None:
    setup, card = Setup(length=2048), find_gpu("H100 SXM")
    cheap, dear = (offer(EIGHT, kind, setup, card) for kind in (Lora(), Full()))
    assert cheap.hours_per_million_tokens < dear.hours_per_million_tokens
