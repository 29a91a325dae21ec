"""This computer: processors, memory, disk and NVIDIA GPUs. No torch."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import psutil

from core.places import data_home
from core.value import Value

BF16_SINCE = (8, 0)
"""Compute capability of Ampere, the first generation that computes in bfloat16."""


class Gpu(Value):
    """One NVIDIA card; memory in bytes."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]


class Machine(Value):
    """What a plan needs to know of a computer; sizes in bytes."""

    system: str
    cores: int
    memory: int
    memory_free: int
    disk_free: int
    gpus: tuple[Gpu, ...] = ()
    planned: bool = False
    """Whether the GPU is one that a plan is made for, and is not in this computer."""
    driver: str = ""
    """Version of the NVIDIA driver; empty without one."""

    @property
    def bf16(self) -> bool:
        """Whether the GPU a run would use computes in bfloat16."""
        return bool(self.gpus) and self.gpus[0].capability >= BF16_SINCE


class GpuReading(Value):
    """What the first GPU is doing right now; bytes, and percent of the time busy."""

    used: int
    total: int
    busy: int


def read_machine(folder: Path | None = None) -> Machine:
    """Look at this computer; free disk space is that of `folder`, or of the user's own folder."""
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()}".strip(),
        cores=_cores(),
        memory=memory.total,
        memory_free=memory.available,
        disk_free=disk_free(folder or data_home()),
        gpus=_gpus(),
        driver=_ask_nvml(_driver) or "",
    )


def disk_free(folder: Path) -> int:
    """Bytes free where `folder` lies, or would lie once it is made; 0 when nobody can tell."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return psutil.disk_usage(str(place)).free
        except OSError:
            continue
    return 0


def gpu_reading() -> GpuReading | None:
    """What the first GPU is doing, None without one; cheap enough for every second."""
    return _ask_nvml(_reading)


def gpu_used_by_this_process() -> int | None:
    """Bytes of the first GPU that the driver counts for this process, its context included.

    Drivers on Windows and in containers cannot tell; then it is what the whole card uses.
    """
    own = _ask_nvml(_own_use)
    if own is not None:
        return own
    reading = gpu_reading()
    return reading.used if reading else None


def _cores() -> int:
    """Cores this process may use; a container often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _gpus() -> tuple[Gpu, ...]:
    return _ask_nvml(_every_gpu) or ()


T = TypeVar("T")


def _ask_nvml(question: Callable[[Any], T]) -> T | None:
    """Ask the driver; a missing or ailing driver is the same as no GPU."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        return question(nvml)
    except (nvml.NVMLError, IndexError):
        return None


@functools.cache
def _nvml() -> ModuleType | None:
    """The driver's library, opened once per process."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, OSError):
        return None
    library: ModuleType = pynvml
    return library


def _every_gpu(nvml: Any) -> tuple[Gpu, ...]:
    return tuple(_gpu(nvml, _handle(nvml, index)) for index in range(nvml.nvmlDeviceGetCount()))


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    name = nvml.nvmlDeviceGetName(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=name.decode(errors="replace") if isinstance(name, bytes) else name,
        total=memory.total,
        free=memory.free,
        capability=(major, minor),
    )


def _reading(nvml: Any) -> GpuReading:
    handle = _handle(nvml, 0)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    return GpuReading(used=memory.used, total=memory.total, busy=busy)


def _driver(nvml: Any) -> str:
    version = nvml.nvmlSystemGetDriverVersion()
    return version.decode(errors="replace") if isinstance(version, bytes) else str(version)


def _own_use(nvml: Any) -> int | None:
    """None where the driver does not know this process by its number, or not its memory."""
    every = nvml.nvmlDeviceGetComputeRunningProcesses(_handle(nvml, 0))
    return next((one.usedGpuMemory for one in every if one.pid == os.getpid()), None)


@functools.cache
def _handle(nvml: Any, index: int) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(index)
