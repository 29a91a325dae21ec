"""The few requests a download needs, and what the Hub's refusals mean. Runs in the fetch process.

Plain HTTP from the standard library: nothing is sent but what is asked for here, and a token goes
to the Hub alone, never to the storage hosts it redirects to.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from core import offline
from core.errors import HubError
from core.reach import Shut

TIMEOUT = 30.0
"""Seconds without a single byte after which a connection is given up."""
_FROM = re.compile(r"bytes (\d+)-")
MAX_ANSWER = 20_000_000
DATASETS = "datasets/"
"""Begins the address of a dataset; models have none."""


def endpoint() -> str:
    """The Hub, or the mirror that HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


class NoSuchRevision(HubError):
    """The repository is there, the revision is not."""


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirects; the token stays behind when another host is next."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following and _site(newurl) != _site(req.full_url):
            following.remove_header("Authorization")
        return following


def _site(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


class Wire:
    """A connection to one Hub, with or without a token."""

    def __init__(self, token: str = "") -> None:
        self._endpoint = endpoint()
        self._token = token
        secure = urllib.request.HTTPSHandler(context=certificates())
        self._opener = urllib.request.build_opener(_Redirect, secure)

    def ask(self, path: str, about: str, **query: str | list[str]) -> Any:
        """A JSON answer. Raises HubError; `about` is the model or search it is about."""
        tail = f"?{urllib.parse.urlencode(query, doseq=True)}" if query else ""
        try:
            return json.loads(self.read(path + tail, about, MAX_ANSWER))
        except (ValueError, RecursionError) as error:
            raise HubError(
                f"{self._endpoint} did not answer like the Hub.",
                hint="Check the address in HF_ENDPOINT, or a login page of your network.",
            ) from error

    def read(self, path: str, about: str, limit: int) -> bytes:
        """A small file or answer, at most `limit` bytes of it. Raises HubError."""
        try:
            with self._open(path) as answer:
                return answer.read(limit)
        except (OSError, http.client.HTTPException) as error:
            raise refusal(error, about) from error

    def open_file(self, path: str, start: int) -> tuple[http.client.HTTPResponse, int]:
        """A file from byte `start` on, and the byte where the answer really begins.

        Raises OSError or HTTPException; the caller may try again.
        """
        answer = self._open(path, {"Range": f"bytes={start}-"} if start else {})
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            return answer, 0
        told = _FROM.match(answer.headers.get("Content-Range", ""))
        if told is not None and int(told[1]) != start:
            answer.close()
            raise http.client.HTTPException(f"asked from byte {start}, got it from {told[1]}")
        return answer, start

    def _open(self, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._endpoint + path, headers=headers or {})
        request.add_header("User-Agent", "tunesmith")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT)
        return answer


def certificates() -> ssl.SSLContext:
    """The system's own store of certificates, companies' and schools' included."""
    try:
        from truststore import SSLContext
    except ImportError:
        return ssl.create_default_context()
    return SSLContext(ssl.PROTOCOL_TLS_CLIENT)


_TOKEN = "Give a token in HF_TOKEN, or log in once with `hf auth login`."


def refusal(error: Exception, about: str) -> HubError:
    """What went wrong, in words, and what to do."""
    if isinstance(error, urllib.error.HTTPError):
        with error:
            return _status(error.code, error.headers.get("X-Error-Code", ""), about)
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, Shut):
        why = offline.hub_reason()
        return HubError(f"{about} was stopped, {cause}", hint=offline.way_back(why))
    if isinstance(cause, TimeoutError):
        return HubError(
            f"{endpoint()} did not answer within {TIMEOUT:.0f} seconds.",
            hint="Try again later; what was downloaded so far is kept.",
        )
    if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
        return HubError(
            f"The disk is full; {about} could not be stored.",
            hint="Free some space and download again; it continues where it stopped.",
        )
    if isinstance(cause, ssl.SSLError):
        return HubError(
            f"The connection to {endpoint()} is not trusted: {cause.reason or cause}.",
            hint="A proxy may be in between: name its certificate in SSL_CERT_FILE.",
        )
    return HubError(
        f"{endpoint()} cannot be reached.",
        hint="Check the network and the proxy. Without a network, use the starter model or copy a "
        "model folder to this computer.",
    )


def _status(code: int, reason: str, about: str) -> HubError:
    page = f"{endpoint()}/{about}"
    if reason == "GatedRepo":
        return HubError(
            f"{about} is gated: its owner asks you to accept a licence first.",
            hint=f"Log in and accept it at {page}, then try again. {_TOKEN}",
        )
    if reason == "RevisionNotFound":
        return NoSuchRevision(f"{about} has no such revision.", hint=f"Look at {page}")
    if code in (401, 404) or reason == "RepoNotFound":
        what = "dataset" if about.startswith(DATASETS) else "model"
        return HubError(
            f"There is no {what} {about.removeprefix(DATASETS)} on the Hub, or it is private.",
            hint=f"Check the spelling of owner/name. For a private {what}: {_TOKEN}",
        )
    if code == 403:
        return HubError(
            f"The Hub refuses {about} to this account.",
            hint=f"The token may lack the right to read it. See {page}",
        )
    if code == http.HTTPStatus.TOO_MANY_REQUESTS:
        return HubError(
            "The Hub received too many requests from this address.",
            hint=f"Wait a few minutes and try again. {_TOKEN} Accounts have a higher limit.",
        )
    return HubError(
        f"The Hub answered with error {code} about {about}.",
        hint="Try again later; what was downloaded so far is kept.",
    )
