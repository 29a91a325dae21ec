"""Who writes: a model on this computer, or one behind an address."""

from __future__ import annotations

from pydantic import Field

from core import offline, reach
from core.errors import CoreError, EndpointError
from core.making.endpoint import Endpoint, address, is_here
from core.making.keys import find_key, host_of
from core.making.local import Local
from core.making.order import Order, Writer
from core.value import FOLDER, Value


class Source(Value):
    """Where the writing model is; never with a key in it."""

    model: str = Field(
        "",
        title="Model",
        description="On this computer: starter, a folder or a Hub id.",
        json_schema_extra={FOLDER: True},
    )
    endpoint: str = Field(
        "", title="Address", description="A server that speaks like OpenAI's, such as .../v1."
    )
    remote_model: str = Field(
        "", title="Name of the model", description="What the server calls the model."
    )
    timeout: float = Field(
        120, gt=0, le=3600, title="Patience",
        description="Seconds to wait for an answer of the server.",
    )  # fmt: skip


def open_writer(source: Source, order: Order) -> Writer:
    """The writer of an order. Raises CoreError."""
    if bool(source.model) == bool(source.endpoint):
        raise CoreError(
            "Who writes the rows?",
            hint="Give either --model, or --endpoint with --remote-model.",
        )
    if source.model:
        return Local(source.model, longest=order.max_tokens, temperature=order.temperature)
    if not source.remote_model:
        raise CoreError("--remote-model is missing.", hint="Say what the server calls the model.")
    _mind_the_switch(source.endpoint)
    return Endpoint(
        source.endpoint,
        source.remote_model,
        key=find_key(source.endpoint),
        longest=order.max_tokens,
        temperature=order.temperature,
        timeout=source.timeout,
    )


def _mind_the_switch(endpoint: str) -> None:
    """Offline, only a server on this computer may be asked. Raises EndpointError."""
    if is_here(address(endpoint)):
        reach.let(*reach.LOOPBACK)
    else:
        offline.refuse(f"Asking {host_of(endpoint)} for rows", EndpointError)
