"""The fetch process: the only one with network and token. Writes only into the user's stores.

    python -I -m core.fetch get OWNER/NAME        python -I -m core.fetch search TEXT [LIMIT]
    python -I -m core.fetch shape OWNER/NAME
    python -I -m core.fetch data hub:OWNER/NAME[@REVISION][#[CONFIG/]SPLIT]

It says one JSON object per line on stdout: {"done", "total", "file"} while it goes on, then
{"folder"}, {"found"} or {"error", "hint"}. Started and read by `core.hub`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core import hub_data, offline, reach, vault
from core.errors import DataError, HubError
from core.fetch_shape import fetch_shape
from core.hub_files import Remote, Say, Source, download, remote
from core.hub_spec import HubSpec, read_spec
from core.hub_wire import Wire, endpoint, refusal
from core.models import hub_folder, is_hub_id
from core.redaction import HUB_SECRETS, cover_streams, learn

SOURCE = "source.json"
"""Where a downloaded model came from: id, commit and the digest of every file."""
_WANTED = re.compile(
    r"[\w.-]+\.(safetensors|json|txt|jinja|model)|README\.md|(LICENSE|NOTICE|USE_POLICY)[\w.-]*"
)
_DOES = {"search": "Searching the Hub for", "shape": "Reading the shape of"} | dict.fromkeys(
    ("get", "data"), "Downloading"
)
_SECOND_COPY = re.compile(r"consolidated[\w.-]*\.safetensors")


def get(model_id: str, wire: Wire, say: Say) -> Path:
    """Download a model into the store, or go on where the last attempt stopped.

    Raises HubError.
    """
    final = hub_folder(model_id)
    if final.is_dir():
        return final
    commit, files = _listed(model_id, wire)
    record = (SOURCE, {"model": model_id})
    download(Source(wire, model_id, commit), files, final, record, say)
    return final


def _listed(model_id: str, wire: Wire) -> tuple[str, list[Remote]]:
    """The newest commit, and its files."""
    listing = wire.ask(f"/api/models/{model_id}/revision/main", model_id, blobs="true")
    return str(listing.get("sha", "")), list(_wanted(model_id, listing))


def _wanted(model_id: str, listing: dict[str, Any]) -> Iterator[Remote]:
    """The files a fine-tune needs: never pickles, never code, nothing from folders inside."""
    names = {str(entry.get("rfilename")): entry for entry in listing.get("siblings") or ()}
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        gguf = any(name.endswith(".gguf") for name in names)
        kind = "only GGUF files, which cannot be trained" if gguf else "no safetensors weights"
        raise HubError(
            f"{model_id} has {kind}.", hint="Choose the original model it was made from."
        )
    for name, entry in sorted(names.items()):
        if _WANTED.fullmatch(name) and not _SECOND_COPY.fullmatch(name):
            yield remote(name, entry)


def search(text: str, limit: int, wire: Wire) -> list[dict[str, Any]]:
    """Text models in safetensors that match, the most downloaded first. Raises HubError."""
    answer = wire.ask(
        "/api/models",
        f"the search for {text!r}",
        search=text,
        filter=["text-generation", "safetensors"],
        sort="downloads",
        limit=str(limit),
        expand=["downloads", "likes", "gated", "tags", "safetensors"],
    )
    return [_found(entry) for entry in answer if is_hub_id(str(entry.get("id")))]


def _found(entry: dict[str, Any]) -> dict[str, Any]:
    tags = [str(tag) for tag in entry.get("tags") or ()]
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return {
        "model_id": entry["id"],
        "downloads": int(entry.get("downloads") or 0),
        "likes": int(entry.get("likes") or 0),
        "gated": bool(entry.get("gated")),
        "licence": licences[0] if licences else "",
        "parameters": int((entry.get("safetensors") or {}).get("total") or 0),
    }


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _token() -> str:
    """From the environment, the system's keyring, or where `hf auth login` put it."""
    given = next(filter(None, (os.environ.get(name, "").strip() for name in HUB_SECRETS)), "")
    return learn(given or vault.kept(urlsplit(endpoint()).netloc) or _logged_in())


def _logged_in() -> str:
    from huggingface_hub import get_token

    return get_token() or ""


def _obey(arguments: Sequence[str]) -> None:
    command, text, *rest = arguments
    offline.refuse_hub(f"{_DOES.get(command, command)} {text!r:.80}")
    if command == "search":
        _say({"found": search(text, int(rest[0]) if rest else 20, Wire(_token()))})
        return
    if command == "data":
        _say({"folder": str(hub_data.get(_spec(text), Wire(_token()), _say))})
        return
    if not is_hub_id(text):
        raise HubError(f"{text!r:.80} is not a model id.", hint="Ids are written owner/name.")
    wire = Wire(_token())
    if command == "shape":
        commit, files = _listed(text, wire)
        sized = [(file.name, file.size) for file in files]
        _say({"folder": str(fetch_shape(text, commit, sized, wire))})
        return
    _say({"folder": str(get(text, wire, _say))})


def _spec(text: str) -> HubSpec:
    try:
        found = read_spec(text)
    except DataError as error:
        raise HubError(str(error), hint=error.hint) from error
    if found is None:
        raise HubError(f"{text!r:.80} is not a Hub dataset.", hint="Write hub:owner/name.")
    return found


def main(arguments: Sequence[str]) -> int:
    """Do one job; every failure is said in a line."""
    cover_streams()
    reach.guard(lambda: bool(offline.hub_reason()))
    try:
        _obey(arguments)
    except BrokenPipeError:
        return 1  # whoever listened is gone; the parts stay for the next attempt
    except HubError as error:
        _say({"error": str(error), "hint": error.hint})
        return 1
    except OSError as error:
        told = refusal(error, arguments[1]) if error.filename is None else HubError(str(error))
        _say({"error": str(told), "hint": told.hint or "Check the folder and its permissions."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
