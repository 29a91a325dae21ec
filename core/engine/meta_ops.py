"""What PyTorch would do on a GPU, done on meta tensors: kernel choice and autocast."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from core.memory.setup import Attention

aten = torch.ops.aten
LOWER = frozenset(
    {
        "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "mv", "bmm", "addmm", "addmv",
        "addr", "addbmm", "baddbmm", "einsum", "conv1d", "conv2d", "prelu",
        "scaled_dot_product_attention", "chain_matmul",
    }
)  # fmt: skip
"""AT_FORALL_LOWER_PRECISION_FP of aten/src/ATen/autocast_mode.h, by their Python names."""
FULL = frozenset(
    {
        "acos", "asin", "cosh", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal",
        "rsqrt", "sinh", "tan", "pow", "__pow__", "softplus", "layer_norm", "group_norm", "norm",
        "nll_loss", "cross_entropy", "mse_loss", "l1_loss", "kl_div", "logsumexp", "prod",
        "softmax", "log_softmax", "cumprod", "cumsum", "sum",
    }
)  # fmt: skip
"""AT_FORALL_FP32 and AT_FORALL_FP32_SET_OPT_DTYPE of the same file."""
OPTIONAL_DTYPE = frozenset({"prod", "softmax", "log_softmax", "cumprod", "cumsum", "sum"})


class Routing(TorchFunctionMode):  # type: ignore[misc]
    """Routes Python calls of PyTorch as a GPU would. Autocast is on inside `autocast()`."""

    def __init__(self, attention: Attention, dtype: torch.dtype | None, *, cuda: bool) -> None:
        super().__init__()
        self._attention = attention
        self._dtype = dtype
        self._cuda = cuda
        self._stands_for = "cuda" if cuda else "cpu"
        self._casting = False
        self._cached: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """What `torch.autocast("cuda", dtype)` does; nothing when there is no dtype."""
        if self._dtype is None:
            yield
            return
        outer, self._casting = self._casting, True
        torch.set_autocast_enabled(self._stands_for, True)
        torch.set_autocast_dtype(self._stands_for, self._dtype)
        try:
            yield
        finally:
            self._casting = outer
            torch.set_autocast_enabled(self._stands_for, outer)
            if not outer:
                self._cached.clear()

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """For layers that are computed again: backward runs outside of all such modes."""
        with self, self.autocast():
            yield

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        allowed = self._casting and torch.is_autocast_enabled(self._stands_for)
        if allowed and "out" not in kwargs:
            args, kwargs = self._cast(name, args, kwargs)
        if name == "scaled_dot_product_attention":
            return (attend if self._cuda else attend_on_cpu)(self._attention, *args, **kwargs)
        if name == "_grouped_mm" and args[0].dtype != torch.bfloat16:
            return GroupedProduct.apply(*args[:2])
        match name if self._cuda else "":
            case "dropout":
                return _dropout(*args, **kwargs)
            case "softmax" if func is F.softmax and "dtype" in kwargs:
                return _softmax(*args, **kwargs)
            case "__getitem__" if _is_mask(args[1]):
                return Select.apply(*args)
        return func(*args, **kwargs)

    def _cast(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if name in LOWER and self._dtype is not None:
            return self._convert(args, self._dtype), self._convert(kwargs, self._dtype)
        if name in FULL and not (name in OPTIONAL_DTYPE and kwargs.get("dtype") is not None):
            return self._convert(args, torch.float32), self._convert(kwargs, torch.float32)
        return args, kwargs

    def _convert(self, value: Any, dtype: torch.dtype) -> Any:
        if isinstance(value, torch.Tensor):
            eligible = value.is_floating_point() and value.dtype not in (torch.float64, dtype)
            return self._to(value, dtype) if eligible else value
        if isinstance(value, dict):
            return {key: self._convert(entry, dtype) for key, entry in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self._convert(entry, dtype) for entry in value)
        return value

    def _to(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """A trained 32-bit weight is cast once per forward, everything else each time."""
        weight = tensor.is_leaf and tensor.requires_grad and tensor.dtype == torch.float32
        if not weight:
            return tensor.to(dtype)
        if id(tensor) not in self._cached:
            self._cached[id(tensor)] = tensor, tensor.to(dtype)
        return self._cached[id(tensor)][1]


def attend(
    kernel: Attention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    **_: Any,
) -> torch.Tensor:
    """The kernel that scaled_dot_product_attention takes on a GPU: flash if nothing forbids it."""
    half = query.dtype in (torch.float16, torch.bfloat16)
    if kernel != "efficient" and attn_mask is None and half and query.shape[-1] <= 256:
        return _flash(query, key, value, dropout_p, is_causal, scale)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    bias = None if attn_mask is None else _bias(attn_mask, query, key)
    result = aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale
    )
    return result[0]


def attend_on_cpu(
    _kernel: Attention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    **_: Any,
) -> torch.Tensor:
    """The kernel that scaled_dot_product_attention takes on a processor."""
    result = aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )
    return result[0]


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, causal: bool,
    scale: float | None,
) -> torch.Tensor:  # fmt: skip
    """Heads are padded to a multiple of 8 numbers (pad_last_dim of sdp_utils)."""
    width = query.shape[-1]
    scale = scale or width**-0.5
    if width % 8:
        query, key, value = (F.pad(t, (0, -width % 8)) for t in (query, key, value))
    result = aten._scaled_dot_product_flash_attention(
        query, key, value, dropout, causal, False, scale=scale
    )
    return result[0][..., :width]


def _bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """convert_boolean_attn_mask: a mask of bits becomes one of numbers at every call."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask, 0.0)
    return mask.expand(*query.shape[:3], key.shape[2])


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, *_: Any, **__: Any
) -> torch.Tensor:
    """CUDA keeps a mask of one byte per number."""
    return aten.native_dropout(input, p, True)[0] if training and p else input


def _softmax(
    input: torch.Tensor, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """CUDA reads float16 and writes float32 in one kernel; bfloat16 is cast first."""
    if input.dtype == torch.float16 and dtype == torch.float32:
        return aten._softmax(input, dim, True)
    return torch.softmax(input, dim, dtype=dtype)


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool and index.is_meta


class Select(torch.autograd.Function):  # type: ignore[misc]
    """`tensor[mask]` with every bit set, which is the largest result it can have."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The rows; their positions in 64 bits come first and go."""
        ctx.shape, ctx.positions = tensor.shape, (mask.dim(), mask.numel())
        _positions = tensor.new_empty(ctx.positions, dtype=torch.int64)
        return tensor.new_empty((mask.numel(), *tensor.shape[mask.dim() :]))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """index_put_with_sort_kernel: positions, one index of them, both sorted, into zeros."""
        whole = gradient.new_zeros(ctx.shape)
        _positions = gradient.new_empty(ctx.positions, dtype=torch.int64)
        _sorted = gradient.new_empty((4, ctx.positions[-1]), dtype=torch.int64)
        return whole, None


class GroupedProduct(torch.autograd.Function):  # type: ignore[misc]
    """_grouped_mm, whose meta kernel knows bfloat16 only, though its others know 32 bits too."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, stack: torch.Tensor) -> torch.Tensor:
        """The product; tokens are kept only for the gradient of the stack."""
        ctx.shape = tokens.shape
        ctx.save_for_backward(stack, tokens if ctx.needs_input_grad[1] else None)
        return tokens.new_empty(tokens.shape[0], stack.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Gradients of the tokens, and of the stack where it is trained."""
        stack, tokens = ctx.saved_tensors
        whole = None if tokens is None else torch.empty_like(stack)
        return gradient.new_empty(ctx.shape), whole
