"""A model without numbers: built from its configuration, quantised and adapted like a real one."""

from __future__ import annotations

from typing import Any

import bitsandbytes
import peft
import torch
from bitsandbytes.functional import QuantState
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.core_model_loading import dot_natural_key
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.quantizers.base import get_keys_to_not_convert

from core.adapt import Adaptation
from core.engine.attention import implementation
from core.engine.faults import first_line
from core.engine.recorder import Recorder
from core.errors import ModelError
from core.memory.setup import Setup

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
BLOCK = 64
"""Weights per quantisation constant (QLoRA paper, arXiv 2305.14314)."""
_NOT_SHAPE = (
    "auto_map", "quantization_config", "compression_config", "dtype", "torch_dtype",
    "attn_implementation", "_attn_implementation", "transformers_version",
)  # fmt: skip
NESTED_BLOCK = 256
"""Constants per constant of double quantisation (same paper)."""


def read_configuration(config: dict[str, Any]) -> PreTrainedConfig:
    """A configuration of a family that transformers knows itself. Raises ModelError."""
    kind = config.get("model_type")
    try:
        return AutoConfig.for_model(**{k: v for k, v in config.items() if k not in _NOT_SHAPE})
    except Exception as error:  # whatever a stranger's file makes a library do
        raise ModelError(
            f"The configuration does not describe a model of a known family ({kind!r:.60}).",
            hint="Choose a text model such as Qwen, Llama, Mistral, Gemma or SmolLM.",
        ) from error


def build(config: PreTrainedConfig, adaptation: Adaptation, setup: Setup) -> Any:
    """The base model as the engine loads it. Raises ModelError."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config,
                dtype=base_dtype(adaptation, setup),
                attn_implementation=(
                    "eager" if setup.attention == "eager" else implementation(config)
                ),
                trust_remote_code=False,
            )
    except Exception as error:  # whatever a stranger's file makes a library do
        raise ModelError(
            f"No model can be built from the configuration: {first_line(error)}",
            hint="Check config.json, or download the model again.",
        ) from error
    quantisation = adaptation.quantisation()
    if adaptation.stored == "int8":
        raise ModelError(
            "A base stored in 8 bits cannot be traced.",
            hint="The quick estimate still holds, with a wider margin.",
        )
    if quantisation is not None:
        if setup.engine == "plain":
            quantisation.bnb_4bit_compute_dtype = DTYPES[setup.dtype]
        _quantise(model, quantisation)
    return model


def base_dtype(adaptation: Adaptation, setup: Setup) -> torch.dtype:
    """Weights that our engine trains have 32 bits, as everything has on a processor."""
    if setup.engine == "trl" and (adaptation.trains_base or not setup.cuda):
        return torch.float32
    return DTYPES[setup.dtype]


def load(model: Any, recorder: Recorder, adaptation: Adaptation, setup: Setup) -> None:
    """Count the weights in the order in which loading asks for them: by name, layer by layer.

    Transformers first asks for everything at once and gives it back, to make one large segment
    (caching_allocator_warmup), unless a plain loop loads to the host and moves the model then. A
    weight that is quantised passes through the device in 16 bits.
    """
    named = list(model.named_parameters())
    if setup.cuda and (setup.engine == "trl" or adaptation.quantised):
        recorder.release(recorder.allocate(_loaded_bytes(model), "weights"))
        named.sort(key=lambda pair: dot_natural_key(pair[0]))
    for _, parameter in named:
        if isinstance(parameter, bitsandbytes.nn.Params4bit):
            _pack(parameter, recorder, base_dtype(adaptation, setup).itemsize)
        else:
            recorder.watch(parameter, "weights")
    for buffer in model.buffers():
        recorder.watch(buffer, "weights")


def _loaded_bytes(model: Any) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _pack(parameter: Any, recorder: Recorder, width: int) -> None:
    """quantize_4bit of bitsandbytes: the matrix in 16 bits goes when everything else is there."""
    state = parameter.quant_state
    plain = recorder.allocate(state.shape.numel() * width, "weights")
    if not state.nested:
        for tensor in (state.absmax, parameter, state.code):
            recorder.watch(tensor, "weights")
        recorder.release(plain)
        return
    size = -(-state.shape.numel() // BLOCK) * 4
    constants = recorder.allocate(size, "weights")
    for tensor in (parameter, state.code, state.offset):
        recorder.watch(tensor, "weights")
    shifted = recorder.allocate(size, "weights")
    for tensor in (state.absmax, state.state2.absmax, state.state2.code):
        recorder.watch(tensor, "weights")
    for number in (shifted, constants, plain):
        recorder.release(number)


def adapt(model: Any, adaptation: Adaptation, setup: Setup, recorder: Recorder) -> Any:
    """The model with its adapter, in the number formats in which it is trained."""
    if setup.kbit_prepare:
        _raise_to_32_bits(model, recorder)
        recorder.empty_cache()
    adaptation.prepare(model)
    config = adaptation.peft_config()
    if config is None:
        return model
    try:
        with torch.device("meta"):
            model = peft.get_peft_model(model, config)
    except (ValueError, RuntimeError) as error:  # some read numbers, which meta tensors lack
        raise ModelError(
            f"{adaptation.title} does not fit this model: {first_line(error)}",
            hint="Let the adapter sit on all linear layers, or choose another method.",
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            recorder.watch(parameter, "adapters")
    return model


def _raise_to_32_bits(model: Any, recorder: Recorder) -> None:
    """prepare_model_for_kbit_training of PEFT, without its choice of checkpointing."""
    for parameter in model.parameters():
        parameter.requires_grad = False
        if not isinstance(parameter, bitsandbytes.nn.Params4bit):
            raised = parameter.data.float()
            recorder.watch(raised, "weights")
            parameter.data = raised


def _quantise(model: Any, quantisation: Any) -> None:
    """Put genuine 4-bit layers in, exactly where loading a quantised model puts them."""
    keep = get_keys_to_not_convert(model)
    replace_with_bnb_linear(model, keep, quantisation)
    model.is_loaded_in_4bit = True
    for layer in model.modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            layer.weight = _packed(layer, quantisation)
            layer.support_avx512bf16_for_cpu = False
            if layer.bias is not None:
                layer.bias.requires_grad = False


def _packed(layer: Any, quantisation: Any) -> Any:
    state = _state(layer.out_features, layer.in_features, quantisation)
    layer.quant_state = state
    return bitsandbytes.nn.Params4bit(
        _empty((layer.out_features * layer.in_features + 1) // 2, 1, dtype=torch.uint8),
        requires_grad=False,
        quant_state=state,
        blocksize=BLOCK,
        compress_statistics=state.nested,
        quant_type=quantisation.bnb_4bit_quant_type,
        bnb_quantized=True,
        module=layer,
    )


def _state(rows: int, columns: int, quantisation: Any) -> QuantState:
    """The constants of one matrix; nested ones have 8 bits and constants of their own."""
    blocks = -(-rows * columns // BLOCK)
    nested = quantisation.bnb_4bit_use_double_quant
    inner = QuantState(
        absmax=_empty(-(-blocks // NESTED_BLOCK)), blocksize=NESTED_BLOCK, code=_empty(256),
        dtype=torch.float32,
    )  # fmt: skip
    return QuantState(
        absmax=_empty(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=torch.Size((rows, columns)),
        code=_empty(16),
        blocksize=BLOCK,
        quant_type=quantisation.bnb_4bit_quant_type,
        dtype=quantisation.bnb_4bit_compute_dtype,
        offset=_empty() if nested else None,
        state2=inner if nested else None,
    )


def _empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")
