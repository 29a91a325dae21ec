"""Memory that CUDA kernels ask for and meta kernels do not show. All sizes are bytes.

Read from the sources of PyTorch 2.13 and bitsandbytes 0.50; each rule names its kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.memory.allocator import round_up

CUBLAS = 8_519_680
"""`:4096:2:16:8` of aten/src/ATen/cuda/CublasHandlePool.cpp; Hopper takes 32 MiB instead."""
MATRIX_PRODUCTS = frozenset(
    {"aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "bitsandbytes::gemm_4bit"}
)
Rule = Callable[[tuple[Any, ...], dict[str, Any]], list[int]]


def _flash_backward(args: tuple[Any, ...], _: dict[str, Any]) -> list[int]:
    """mha_bwd: 32-bit accumulator of dQ, softmax_d, and dK, dV for every query head."""
    query, key = args[1], args[2]
    rows, heads, length, width = query.shape
    padded = round_up(length, 128)
    sizes = [rows * heads * padded * round_up(width, 32) * 4, rows * heads * padded * 4]
    if key.shape[1] != heads:
        sizes += [rows * heads * key.shape[2] * width * query.element_size()] * 2
    return sizes


def _efficient_backward(args: tuple[Any, ...], _: dict[str, Any]) -> list[int]:
    """_efficient_attention_backward: delta, and a 32-bit accumulator of dQ for 16-bit inputs."""
    rows, heads, length, width = args[1].shape
    sizes = [rows * heads * round_up(length, 32) * 4]
    if args[1].element_size() == 2:
        sizes.append(rows * heads * length * width * 4)
    return sizes


def _softmax_backward(args: tuple[Any, ...], _: dict[str, Any]) -> list[int]:
    """softmax_backward_cuda_out: `Tensor tmp = grad * output`."""
    return [args[0].numel() * args[0].element_size()]


def _product_4bit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    """gemm_4bit on long inputs: 32-bit constants if they are nested, then the whole matrix."""
    numbers = args[2][0] * args[2][1]
    return [*_constants(kwargs.get("absmax_8bit")), numbers * args[0].element_size()]


def _constants(nested: Any) -> list[int]:
    return [] if nested is None else [nested.numel() * 4]


WORKSPACES: dict[str, Rule] = {
    "aten::_softmax_backward_data": _softmax_backward,
    "aten::_scaled_dot_product_efficient_attention_backward": _efficient_backward,
    "aten::_scaled_dot_product_flash_attention_backward": _flash_backward,
    "bitsandbytes::gemm_4bit": _product_4bit,
}
BEFORE = frozenset({"bitsandbytes::gemm_4bit"})
"""Kernels that ask for their workspace before their result; the others after it."""
