"""A model behind an OpenAI-compatible address: one request at a time, by the standard library.

The key goes into one header of requests to that address and nowhere else: no redirect is followed,
and what a server says in an error is repeated without it.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from core.errors import EndpointError
from core.hub_wire import certificates
from core.making.keys import KEYS, Key, host_of
from core.making.order import Prompt, Reply, Take

PATH = "/chat/completions"
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before further attempts when the server is busy or faulty, unless it names its own."""
PATIENCE = 300.0
"""Seconds; a server that wants a longer pause ends the work, which can go on later."""
MAX_ANSWER = 4_000_000
_NEWER = "max_completion_tokens"
"""How newer models of OpenAI call max_tokens."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A request with a key and data is not sent on to where somebody points."""

    def redirect_request(self, *_: Any) -> None:
        """None makes an error of it."""


class _Busy(Exception):
    """The server may answer another time."""

    def __init__(self, error: EndpointError, pause: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.pause = error, pause


class Endpoint:
    """Writes by asking a server."""

    kind, at_once = "endpoint", 1

    def __init__(
        self, url: str, model: str, *, key: Key, longest: int, temperature: float, timeout: float
    ) -> None:
        self._url, self.name = address(url), f"{model} at {host_of(url)}"
        _refuse_open_wire(self._url, key)
        self._model, self.key, self._timeout = model, key, timeout
        self._options: dict[str, Any] = {"temperature": temperature, "max_tokens": longest}
        self._opener = _opener(self._url)

    def write(self, prompts: Sequence[Prompt], take: Take) -> None:
        """Ask one after the other. Raises EndpointError."""
        for prompt in prompts:
            take(self._reply(self._patiently(prompt)))

    def _patiently(self, prompt: Prompt) -> bytes:
        for pause in (*PAUSES, None):
            try:
                return self._asked(prompt)
            except _Busy as busy:
                wanted = pause if busy.pause is None else busy.pause
                if pause is None or wanted is None or wanted > PATIENCE:
                    raise busy.error from None
                time.sleep(wanted)
        raise AssertionError("the last attempt answers or raises")

    def _asked(self, prompt: Prompt) -> bytes:
        try:
            return self._send(prompt)
        except urllib.error.HTTPError as error:
            said = _message(_body(error))
            if error.code == 400 and _NEWER in said and "max_tokens" in self._options:
                self._options[_NEWER] = self._options.pop("max_tokens")
                return self._asked(prompt)
            raise self._refused(error.code, said, error.headers) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreached(error) from None

    def _send(self, prompt: Prompt) -> bytes:
        body = {
            "model": self._model,
            "messages": list(prompt.messages),
            "seed": prompt.seed,
            **self._options,
        }
        request = urllib.request.Request(self._url, json.dumps(body).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", "tunesmith")
        if self.key.secret:
            request.add_unredirected_header("Authorization", f"Bearer {self.key.secret}")
        with self._opener.open(request, timeout=self._timeout) as answer:
            said: bytes = answer.read(MAX_ANSWER)
        return said

    def _reply(self, raw: bytes) -> Reply:
        """The text and the tokens of an answer; an answer built otherwise has no text."""
        try:
            said = json.loads(raw)
            text = said["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return Reply(text="", **_usage(raw))
        return Reply(text=text if isinstance(text, str) else "", **_usage(raw))

    def _unreached(self, error: Exception) -> Exception:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        where = host_of(self._url)
        if isinstance(cause, TimeoutError):  # not asked again: the lost answer may be charged for
            return EndpointError(
                f"{where} did not answer within {self._timeout:,.0f} seconds.",
                hint="Give it more time with --timeout, or ask for fewer --per-request.",
            )
        if isinstance(cause, ConnectionResetError | http.client.HTTPException):
            return _Busy(EndpointError(f"{where} cut the connection.", hint="Try again later."))
        reason = getattr(cause, "strerror", None) or cause
        return EndpointError(
            f"{where} cannot be reached: {self._without_key(str(reason))}.",
            hint="Check the address, and that the server runs.",
        )

    def _refused(self, code: int, said: str, headers: Any) -> Exception:
        where, detail = host_of(self._url), self._without_key(said)
        more = f" It says: {detail}" if detail else ""
        if code in (429, 500, 502, 503, 504, 529):
            what = "asks for fewer requests" if code == 429 else f"answered with error {code}"
            error = EndpointError(f"{where} {what}.{more}", hint="Try again later.")
            return _Busy(error, _pause(headers.get("Retry-After", "")))
        if code in (401, 403):
            return EndpointError(
                f"{where} refuses the key." if self.key.secret else f"{where} asks for a key.",
                hint=f"Set {KEYS[0]} to a key of this server.",
            )
        if code == 404:
            return EndpointError(
                f"{where} has no model {self._model} under {self._url}.{more}",
                hint="Check --remote-model and the address, which mostly ends in /v1.",
            )
        if 300 <= code < 400:
            return EndpointError(
                f"{where} points to another address, which is not followed.",
                hint="Give the final address with --endpoint.",
            )
        return EndpointError(
            f"{where} refuses with error {code}.{more}",
            hint="Check --remote-model, --temperature and --max-tokens.",
        )

    def _without_key(self, text: str) -> str:
        secret = self.key.secret
        return text.replace(secret, "[key]") if secret else text


def address(url: str) -> str:
    """Where requests go: `http://host`, `https://host/v1` and the whole path all name it."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.strip().isascii() or " " in url.strip():
        raise EndpointError(
            "--endpoint is no address of the web.",
            hint="For instance https://api.openai.com/v1 or http://localhost:8000/v1.",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EndpointError(
            "--endpoint holds more than an address.",
            hint=f"A key belongs in {KEYS[0]}, where nothing records it.",
        )
    path = parts.path.rstrip("/").removesuffix(PATH) or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}{PATH}"


def _refuse_open_wire(url: str, key: Key) -> None:
    """A key must not cross a network in the clear."""
    parts = urllib.parse.urlsplit(url)
    if key.secret and parts.scheme == "http" and not is_here(url):
        raise EndpointError(
            f"The key from {key.origin} would be sent to {parts.netloc} unencrypted.",
            hint="Use https://, or unset the key if this server needs none.",
        )


def is_here(url: str) -> bool:
    """Whether a server is on this computer."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Follows no redirect, and goes through no proxy to a server on this computer."""
    handlers = [_NoRedirect(), urllib.request.HTTPSHandler(context=certificates())]
    if is_here(url):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _usage(raw: bytes) -> dict[str, int | None]:
    """Tokens as the server counted them, as far as it did."""
    try:
        usage = json.loads(raw)["usage"]
        asked, said = usage["prompt_tokens"], usage["completion_tokens"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    sound = all(isinstance(count, int) and count >= 0 for count in (asked, said))
    return {"input_tokens": asked, "output_tokens": said} if sound else {}


def _body(error: urllib.error.HTTPError) -> bytes:
    try:
        with error:
            return error.read(MAX_ANSWER)
    except (OSError, http.client.HTTPException):
        return b""


def _message(raw: bytes) -> str:
    """What an error says, on one line; web pages say nothing."""
    try:
        said = json.loads(raw)
        error = said.get("error", said) if isinstance(said, dict) else ""
        text = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, RecursionError):
        return ""
    return " ".join(str(text).split())[:300]


def _pause(said: str) -> float | None:
    """Retry-After: seconds or a date; None when neither."""
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None
