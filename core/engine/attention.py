"""How a family of models computes attention, and attention within rows joined to one sequence.

Padding costs as much arithmetic as words do, and a mask for joined rows is as large as the square
of all their tokens. So joined rows get neither: on an NVIDIA GPU since Ampere, torch's
FlashAttention for sequences of different lengths; elsewhere torch's attention, row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AutoModelForCausalLM, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

JOINED = "torch_varlen"
"""The name under which transformers knows attention within joined rows."""
WIDEST = 256
"""Numbers per head that FlashAttention computes at most."""
AMPERE = (8, 0)


def implementation(config: PreTrainedConfig, *, joined: bool = False) -> str:
    """Torch's own kernels, or scores written out where a family knows nothing else (Gemma 2).

    For `joined` rows, attention that keeps them apart without a mask, if the family can have it.
    """
    kind = AutoModelForCausalLM._model_mapping.get(type(config), None)
    if not getattr(kind, "_supports_sdpa", False):
        return "eager"
    return JOINED if joined and keeps_apart(kind, config) else "sdpa"


def keeps_apart(kind: Any, config: PreTrainedConfig) -> bool:
    """Whether every layer is attention of the usual kind: no state that runs from row to row, no
    bound on scores, no chunks."""
    text = config.get_text_config()
    layers = getattr(text, "layer_types", None) or ()
    return (
        kind._supports_attention_backend
        and kind._supports_flash_attn
        and not kind._is_stateful
        and set(layers) <= {"full_attention", "sliding_attention"}
        and not getattr(text, "attn_logit_softcapping", None)
    )


class Deferred:
    """A mask that is made only if some layer cannot do without; `window` is how many tokens before
    its own a query sees at most, itself included."""

    def __init__(self, make: Callable[[], Tensor | None], window: int | None) -> None:
        self.made, self.window = functools.cache(make), window


def mask(*given: Any, **named: Any) -> Tensor | Deferred | None:
    """The mask of `sdpa`; that of joined rows, the largest one, is put off."""
    make = functools.partial(sdpa_mask, *given, **named)
    plain = named.get("attention_mask") is None and named.get("q_length") == named.get("kv_length")
    own = named.get("use_vmap")  # a family's own rule, beside which rows are joined
    joined = plain and not named.get("allow_is_causal_skip", True) and not own
    return Deferred(make, named.get("local_size")) if joined else make()


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | Deferred | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **named: Any,
) -> tuple[Tensor, None]:
    """Attention within joined rows; whatever is no such batch goes to torch's usual attention.

    Queries, keys and values are (1, heads, tokens, numbers); `cu_seq_lens_q` holds the first token
    of each row and the number of all tokens, `max_length_q` the length of the longest row.
    """
    unusual = dropout or any(named.get(name) is not None for name in _UNUSUAL)
    if cu_seq_lens_q is None or unusual or not _joined(module, query, key, value, attention_mask):
        made = attention_mask.made() if isinstance(attention_mask, Deferred) else attention_mask
        usual: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, made, dropout=dropout, scaling=scaling, **named
        )
        return usual
    kernel = flash if flashes(query) else row_by_row
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    longest = int(max_length_q or query.shape[2])
    window = attention_mask.window if isinstance(attention_mask, Deferred) else None
    return kernel(q, k, v, cu_seq_lens_q, longest, scaling, window)[None], None


_UNUSUAL = ("softcap", "s_aux", "position_bias", "cache")
"""What some families give to attention, and the kernels for joined rows do not know."""


def _joined(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any) -> bool:
    """Whether these are the rows of one batch, each token with its own query, and nothing more."""
    return (
        (mask is None or isinstance(mask, Deferred))
        and query.shape[0] == 1
        and query.shape[2] == key.shape[2]
        and key.shape[-1] == value.shape[-1]
        and getattr(module, "is_causal", True)
    )


def flashes(query: Tensor) -> bool:
    """Whether FlashAttention computes this on its device."""
    return (
        query.is_cuda
        and query.shape[-1] <= WIDEST
        and torch.cuda.get_device_capability(query.device) >= AMPERE
        and _half(query) is not None
    )


def _half(tensor: Tensor) -> torch.dtype | None:
    """The 16-bit format of the arithmetic; None where all of it has 32 bits."""
    if tensor.dtype in (torch.bfloat16, torch.float16):
        return tensor.dtype
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    longest: int,
    scale: float | None,
    window: int | None,
) -> Tensor:
    """All rows in one kernel; tensors are (tokens, heads, numbers).

    Autocast knows torch's usual attention but not this one, so formats are made equal here.
    """
    dtype = _half(value)
    rows = (each.to(dtype).contiguous() for each in (query, key, value))
    found: Tensor = varlen_attn(
        *rows, starts, starts, longest, longest, scale=scale,
        window_size=(window - 1 if window else -1, 0), enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return found


def row_by_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    _longest: int,
    scale: float | None,
    window: int | None,
) -> Tensor:
    """Torch's usual attention for each row; tensors are (tokens, heads, numbers)."""
    sizes, grouped = starts.diff().tolist(), query.shape[1] != key.shape[1]
    split = (each.transpose(0, 1).split(sizes, 1) for each in (query, key, value))
    found = [
        scaled_dot_product_attention(
            asked, known, told, attn_mask=_band(asked, window), is_causal=not _cuts(asked, window),
            scale=scale, enable_gqa=grouped,
        )
        for asked, known, told in zip(*split, strict=True)
    ]  # fmt: skip
    return torch.cat(found, 1).transpose(0, 1).contiguous()


def _cuts(row: Tensor, window: int | None) -> bool:
    return window is not None and row.shape[1] > window


def _band(row: Tensor, window: int | None) -> Tensor | None:
    """Which keys a query sees in a row longer than the window: itself and those just before."""
    if window is None or not _cuts(row, window):
        return None
    square = torch.ones(row.shape[1], row.shape[1], dtype=torch.bool, device=row.device)
    return square.tril().triu(1 - window)


AttentionInterface.register(JOINED, attend)
AttentionMaskInterface.register(JOINED, mask)
