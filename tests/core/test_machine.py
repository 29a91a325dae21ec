"""This computer, with and without a driver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core import machine, places
from core.machine import (
    Gpu,
    Machine,
    disk_free,
    gpu_reading,
    gpu_used_by_this_process,
    read_machine,
)


def _machine(*capabilities: tuple[int, int]) -> Machine:
    gpus = tuple(Gpu(name="card", total=1, free=1, capability=c) for c in capabilities)
    return Machine(system="x", cores=1, memory=1, memory_free=1, disk_free=1, gpus=gpus)


def test_the_computer_is_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path)
    assert found.system
    assert found.cores >= 1
    assert 0 < found.memory_free <= found.memory
    assert found.disk_free > 0


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ((), False),
        (((7, 5),), False),
        (((8, 0),), True),
        (((12, 0),), True),
        (((7, 5), (9, 0)), False),
    ],
)
def test_bf16_is_a_matter_of_the_first_gpu(
    capabilities: tuple[tuple[int, int], ...], expected: bool
) -> None:
    assert _machine(*capabilities).bf16 is expected


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk_free(tmp_path / "not" / "yet") > 0


class Driver:
    """Stands in for the NVIDIA library, which is not on every computer: one A100 in bytes."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, broken: str = "", pid: int = 0) -> None:
        self._broken, self._pid = broken, pid

    def __getattr__(self, name: str) -> Any:
        if name == self._broken:
            raise self.NVMLError(name)
        return {
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda handle: b"NVIDIA A100",
            "nvmlDeviceGetMemoryInfo": lambda handle: type(
                "M", (), {"total": 80, "free": 60, "used": 20}
            ),
            "nvmlDeviceGetCudaComputeCapability": lambda handle: (8, 0),
            "nvmlSystemGetDriverVersion": lambda: "570.1",
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
                type("P", (), {"pid": self._pid, "usedGpuMemory": 7})
            ],
            "nvmlDeviceGetUtilizationRates": lambda handle: type("U", (), {"gpu": 97}),
        }[name]


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_nvml", Driver)
    found = read_machine(tmp_path)
    [gpu] = found.gpus
    assert found.driver == "570.1"
    assert gpu == Gpu(name="NVIDIA A100", total=80, free=60, capability=(8, 0))
    reading = gpu_reading()
    assert reading is not None
    assert (reading.used, reading.total, reading.busy) == (20, 80, 97)


@pytest.mark.parametrize("broken", ["nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo"])
def test_an_ailing_driver_is_no_gpu(
    broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_nvml", lambda: Driver(broken))
    assert read_machine(tmp_path).gpus == ()


def test_a_card_without_a_meter_is_still_a_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_nvml", lambda: Driver("nvmlDeviceGetUtilizationRates"))
    assert read_machine(tmp_path).gpus
    assert gpu_reading() is None


@pytest.mark.parametrize(("pid", "used"), [(os.getpid(), 7), (0, 20)], ids=["ours", "another"])
def test_what_a_process_uses_is_what_the_card_uses_where_nobody_can_tell(
    pid: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_nvml", lambda: Driver(pid=pid))
    assert gpu_used_by_this_process() == used


def test_without_a_card_no_process_uses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_nvml", lambda: None)
    assert gpu_used_by_this_process() is None


def test_the_users_folder_can_be_moved(home: Path) -> None:
    assert places.data_home() == home
    assert places.runs_home().parent == places.models_home().parent == home


def test_without_a_wish_the_users_folder_is_where_the_system_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TUNESMITH_HOME")
    assert places.data_home().is_absolute()
    assert "tunesmith" in places.data_home().parts


def test_what_ships_is_there() -> None:
    assert (places.starter() / "config.json").is_file()
    assert places.sample("tickets.jsonl").is_file()
