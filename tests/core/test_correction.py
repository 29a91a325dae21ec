"""What a measurement says about later estimates: bounded, and never a reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core import places
from core.history import preflight_sentence
from core.machine import Gpu, Machine
from core.memory import Bill
from core.memory.correction import Correction, Corrections, corrected, learn, recall
from core.memory.measured import Measured, Trial
from core.pace import token_seconds
from core.plan import Facts, make_plan
from tests.core.test_plan import GB, LAPTOP, MODEL, TOWER, facts, recipe

DRIVEN = TOWER.model_copy(update={"driver": "570.1"})
USUAL = Trial(rows=4, longest=100, tokens=300, computed=400, seconds=2.0, update=0.5)
LONG = Trial(rows=4, longest=300, tokens=1200, computed=1200, seconds=6.0, update=0.5)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch of a known version, whether or not one is installed."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13")


def measured(**changes: object) -> Measured:
    """Five steps on the first card of TOWER."""
    return Measured(
        fits=True, device="RTX 4090", driver="570.1", cuda=True, adaptation="lora",
        limit_bytes=24 * GB, allocated_bytes=4 * GB, reserved_bytes=5 * GB, used_bytes=6 * GB,
        host_bytes=2 * GB, seconds_per_longest_step=6.5, seconds_per_median_step=2.5,
        tokens_per_second=120.0, typical_tokens=480, longest=(LONG,) * 3, median=(USUAL,) * 2,
        versions={"torch": "2.13"}, made=1.8e9,
    ).model_copy(update=changes)  # fmt: skip


def estimated(world: Facts | None = None) -> Bill:
    bill = make_plan(recipe(), world or facts(DRIVEN)).bill
    assert bill is not None
    return bill


def test_a_measurement_corrects_the_next_estimate_of_the_same_kind() -> None:
    bill = estimated()
    wanted = round(1.2 * bill.allocated), round(1.3 * bill.reserved)
    found = measured(allocated_bytes=wanted[0], reserved_bytes=wanted[1])
    assert learn(found, bill, None) == ()
    known = recall(DRIVEN)
    assert known.problem is None
    after = estimated(facts(DRIVEN, corrections=known))
    assert after.allocated == pytest.approx(wanted[0], rel=1e-3)
    assert after.reserved == pytest.approx(wanted[1], rel=1e-3)
    assert after.total == sum(item.bytes for item in after.items)
    assert after.context == bill.context
    assert after.method == "closed-form"
    assert "corrected by a measurement on this machine, 2027-01-1" in after.note
    other = make_plan(recipe(adaptation={"kind": "full"}), facts(DRIVEN, corrections=known)).bill
    assert other is not None
    assert other.note == ""


def test_measuring_again_corrects_the_formula_not_the_correction() -> None:
    bill = estimated()
    found = measured(
        allocated_bytes=round(1.5 * bill.allocated), reserved_bytes=round(1.5 * bill.reserved)
    )
    learn(found, bill, None)
    first = recall(DRIVEN)
    learn(found, estimated(facts(DRIVEN, corrections=first)), None)
    second = recall(DRIVEN)
    assert second.known == first.known
    assert len(second.known) == 1


@pytest.mark.parametrize("ratio", [0.4, 2.2])
def test_what_is_too_far_off_is_told_and_not_remembered(ratio: float) -> None:
    bill = estimated()
    found = measured(allocated_bytes=round(ratio * bill.allocated), reserved_bytes=bill.reserved)
    [problem] = learn(found, bill, 1 / 120)
    assert f"{ratio:.2g} times the estimate" in problem.text
    [known] = recall(DRIVEN).known
    assert (known.allocated, known.reserved, known.seconds) == (None, 1.0, 1.0)
    assert corrected(bill, known) == bill


def test_a_small_model_says_nothing_about_memory_and_a_failed_trial_nothing_at_all() -> None:
    assert learn(measured(allocated_bytes=GB // 2), estimated(), None) == ()
    assert learn(measured(fits=False), estimated(), 1 / 120) == ()
    assert recall(DRIVEN) == Corrections()
    assert not places.corrections_file().exists()


def test_what_one_measurement_does_not_know_an_earlier_one_still_does() -> None:
    bill = estimated()
    learn(measured(allocated_bytes=bill.allocated, reserved_bytes=bill.reserved), bill, None)
    learn(measured(allocated_bytes=1), bill, 1 / 240)
    [known] = recall(DRIVEN).known
    assert (known.allocated, known.reserved, known.seconds) == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    "machine",
    [
        DRIVEN.model_copy(update={"driver": "580.0"}),
        DRIVEN.model_copy(update={"gpus": (DRIVEN.gpus[0].model_copy(update={"name": "L4"}),)}),
        LAPTOP,
    ],
)
def test_another_driver_or_card_is_not_corrected(machine: Machine) -> None:
    learn(measured(), estimated(), 1 / 120)
    assert recall(DRIVEN).known
    assert recall(machine).known == ()


def test_another_torch_is_not_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    learn(measured(), estimated(), 1 / 120)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.14")
    assert recall(DRIVEN).known == ()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b'{"format": 2}', b'{"theirs": 1}',
        b'{"format": 1, "corrections": [{"device": "x", "driver": "", "torch": "", '
        b'"adaptation": "lora", "made": "", "allocated": 100}]}',
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_told_and_ignored(content: bytes) -> None:
    place = places.corrections_file()
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    found = recall(DRIVEN)
    assert found.known == ()
    assert found.problem is not None
    assert str(place) in found.problem.text
    plan = make_plan(recipe(), facts(DRIVEN, corrections=found))
    assert plan.ready
    assert found.problem in plan.problems
    learn(measured(), estimated(), 1 / 120)
    assert recall(DRIVEN).problem is None


def test_a_folder_that_takes_nothing_is_told(home: Path) -> None:
    home.write_text("a file where the folder should be", encoding="utf-8")
    [problem] = learn(measured(allocated_bytes=1), estimated(), 1 / 120)
    assert "could not be remembered" in problem.text


def test_the_time_of_a_card_is_corrected_once_it_was_measured() -> None:
    before = make_plan(recipe(), facts(DRIVEN))
    assert before.settings is not None
    expected = token_seconds(recipe(), MODEL, DRIVEN, before.settings)
    assert expected is not None
    learn(measured(tokens_per_second=1 / expected / 1.5), estimated(), expected)
    after = make_plan(recipe(), facts(DRIVEN, corrections=recall(DRIVEN)))
    settings = before.settings
    seen = 100 * settings.steps * settings.micro_batch * settings.accumulation
    assert before.seconds == pytest.approx(expected * seen, rel=1e-3)
    assert after.seconds == pytest.approx(1.5 * expected * seen, rel=1e-3)


def test_no_time_is_told_of_a_card_that_nobody_knows() -> None:
    card = Gpu(name="NVIDIA Unheard-of", total=24 * GB, free=GB, capability=(9, 0))
    machine = LAPTOP.model_copy(update={"gpus": (card,)})
    settings = make_plan(recipe(), facts(machine)).settings
    assert settings is not None
    assert token_seconds(recipe(), MODEL, machine, settings) is None


# ---- what was measured ---------------------------------------------------------------------------


def test_the_whole_time_follows_the_usual_batch_and_its_padding() -> None:
    settings = make_plan(recipe(), facts()).settings
    assert settings is not None
    settings = settings.model_copy(update={"steps": 10, "accumulation": 2})
    # 400 tokens take 2 s and 1,200 take 6 s, so 480 take 2.4 s; an update takes 0.5 s
    assert measured().eta(settings) == pytest.approx(10 * (2 * 2.4 + 0.5))
    assert measured().eta(settings, tokens=400) == pytest.approx(10 * (2 * 2.0 + 0.5))
    level = measured(longest=(USUAL,) * 3)
    assert level.eta(settings) == pytest.approx(10 * (2 * 2.0 + 0.5))
    assert measured(median=()).eta(settings) is None


def test_a_measured_bill_adds_up() -> None:
    bill = measured().bill(estimated())
    assert bill.method == "measured"
    assert (bill.allocated, bill.reserved, bill.total) == (4 * GB, 5 * GB, 6 * GB)
    assert sum(item.bytes for item in bill.items) == bill.total


def test_a_measurement_is_one_sentence() -> None:
    settings = make_plan(recipe(), facts()).settings
    assert settings is not None
    bill = estimated().model_copy(update={"allocated": 4 * GB * 100 // 97})
    settings = settings.model_copy(update={"steps": 100, "accumulation": 1})
    told = preflight_sentence(measured().event(settings, bill))
    assert told == (
        "Measured on this machine: 4.0 GB allocated (estimate 4.1 GB, -3 %), 5.0 GB reserved, "
        "2.50 s per step, about 5 min for all steps."
    )
    lost = measured(fits=False, failure="No.", reached="in trial step 1 of 5", median=())
    told = preflight_sentence(lost.event(settings, bill))
    assert told == (
        "Measured on this machine: it does not fit, 24.0 GB are there; memory ran out in trial "
        "step 1 of 5."
    )


def test_a_correction_is_plain_json() -> None:
    learn(measured(), estimated(), 1 / 120)
    raw = json.loads(places.corrections_file().read_text(encoding="utf-8"))
    assert raw["format"] == 1
    assert Correction.model_validate(raw["corrections"][0]).device == "RTX 4090"
