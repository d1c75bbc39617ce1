"""The files that a run produced: their URLs and media types, whatever the shape of the output.

Pure: JSON in, values out. Which URLs are not files is decided by the names of their members, since Runflow's models
come from many providers and each has its own shape of output.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import attrs

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.links import MAX_URL_LENGTH, LinkReader
from runflow_mcp.runflow.reading.media_types import MAX_MEMBERS, declared_type, implied_type, media_type

MAX_OUTPUT_URLS = 1000
#: Bytes of all URLs together: each is written three times into an answer.
MAX_OUTPUTS_SIZE = 256 * 1024
#: Values visited in search of URLs: some tens of milliseconds.
MAX_VALUES = 20_000
#: Characters of the addresses in an input that a waiting call keeps; real inputs have a few.
MAX_INPUT_ADDRESSES = 4096
#: Characters of a member's name that is interpreted.
_MAX_NAME = 64


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Members that repeat the input or the settings, or link to something to do next.
_NOT_OUTPUT = _words(
    "input inputs request requests arguments args params parameters settings options config metadata timing timings "
    "logs log self cancel webhook webhooks callback callbacks status queue polling endpoint docs documentation "
    "dashboard fetch_result"
)
#: First words of longer names of such members: ``source_image``, ``reference_image_urls``.
_ECHO_WORDS = _words("source reference references init initial request requested original")
#: Last words of the names of addresses.
_ADDRESS_WORDS = _words("url urls uri uris href link links endpoint src")
#: Words in the names of addresses that are endpoints and not files: ``status_url``, ``queue_status_url``.
_CONTROL_WORDS = _words(
    "status response cancel poll polling webhook callback log logs queue progress retry dashboard docs documentation "
    "help support license terms upload delete ws websocket health api run job task events notification error "
    "homepage website web schema billing check get self next prev previous monitor tracking refresh abort stop "
    "update manage metrics heartbeat operation"
)
#: Names in an object of links (``urls``, ``links``) that lead to actions on the run.
_LINK_RELATIONS = _CONTROL_WORDS | {"stream", "first", "last", "collection", "parent"}
_PREVIEW_WORDS = _words("thumbnail thumbnails thumb thumbs preview previews poster placeholder icon")
#: The member that is the file's own address if an object has several.
_ADDRESSES = ("url", "uri", "href", "src", "link")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@attrs.frozen
class Output:
    """One file that a run produced."""

    url: str
    mime_type: str | None


@attrs.define
class _Name:
    """What the name of a member says about the value below it.

    ``skipped``: it holds no outputs. ``preview``: it holds previews. ``addressed``: it is an address. ``relations``: it
    is an object of links.
    """

    skipped: bool = False
    preview: bool = False
    addressed: bool = False
    relations: bool = False


_ORDINARY = _Name()
_NO_OWNER: JSONObject = {}


@attrs.define
class _Found:
    """A value, the name of its member, what that name says, and the object that the member belongs to."""

    value: JSON
    name: str = ""
    meaning: _Name = _ORDINARY
    owner: JSONObject = _NO_OWNER


def find_outputs(output: JSON, run_input: JSON = None, base_url: str = "") -> list[Output]:
    """Every file in an output, once: in document order, previews (thumbnails, posters) after everything else.

    ``run_input``: addresses in it are not outputs. ``base_url``: the API's, completes relative addresses.
    """
    reader = LinkReader(base_url)
    echoed = {found.value.strip() for found in _texts(run_input, by_name=False)} if run_input else frozenset()
    own = (f"{base_url}/v1/runs", f"{base_url}/v1/models") if base_url else ()
    files: dict[str, Output] = {}
    previews: dict[str, Output] = {}
    size = 0
    for found in _texts(output):
        if found.value in files:
            continue
        url = reader.complete(found.value, addressed=found.meaning.addressed)
        if url is None or url in echoed or url in files or (url.startswith(own) and media_type(url) is None):
            continue
        new = url not in previews
        if found.meaning.preview:
            previews.setdefault(url, Output(url, _media_type(url, found)))
        else:
            previews.pop(url, None)
            files[url] = Output(url, _media_type(url, found))
        size += len(url.encode()) if new else 0
        if len(files) + len(previews) >= MAX_OUTPUT_URLS or size >= MAX_OUTPUTS_SIZE:
            break
    return [*files.values(), *previews.values()]


def addresses(run_input: JSON) -> tuple[str, ...]:
    """The first addresses in an input, ``MAX_INPUT_ADDRESSES`` characters at most."""
    found_addresses: list[str] = []
    size = 0
    for found in _texts(run_input, by_name=False):
        size += len(found.value)
        if size > MAX_INPUT_ADDRESSES:
            break
        found_addresses.append(found.value)
    return tuple(found_addresses)


def _media_type(url: str, found: _Found) -> str | None:
    beside = found.owner if _is_main(found) else {}
    return declared_type(beside) or media_type(url) or implied_type(beside)


def _is_main(found: _Found) -> bool:
    """Whether what an object declares about its file applies to this address."""
    if found.name in _ADDRESSES or len(found.owner) > MAX_MEMBERS:
        return next((name for name in _ADDRESSES if name in found.owner), "") == found.name
    addresses = [name for name, value in found.owner.items() if isinstance(value, str) and "://" in value[:8]]
    return [name for name in addresses if not (_meaning(name).skipped or _meaning(name).preview)] == [found.name]


def _texts(value: JSON, *, by_name: bool = True) -> Iterator[_Found]:
    """The texts that can be addresses, in document order.

    ``by_name``: leave out members whose names say that they are not outputs.
    """
    stack: list[Iterator[_Found]] = [iter((_Found(value),))]
    for _ in range(2 * MAX_VALUES):  # each value is visited once, each container left once
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            if not stack:
                return
        elif isinstance(found.value, str):
            if _can_be_address(found):
                yield found
        elif isinstance(found.value, list):
            stack.append(_items(found))
        elif isinstance(found.value, dict):
            stack.append(_members(found) if by_name else map(_Found, found.value.values()))


def _can_be_address(found: _Found) -> bool:
    text = found.value
    if len(text) > MAX_URL_LENGTH:
        return False
    start = text[:8].lstrip().lower()
    return start.startswith(("http", "/")) or (found.meaning.addressed and "/" in text)


def _items(found: _Found) -> Iterator[_Found]:
    return (_Found(item, found.name, found.meaning) for item in found.value)


def _members(found: _Found) -> Iterator[_Found]:
    owner, above = found.value, found.meaning
    relation = owner.get("rel")
    if isinstance(relation, str) and relation.lower() in _LINK_RELATIONS:  # an item of a list of links
        return
    for name, value in owner.items():
        meaning = _ORDINARY
        if isinstance(value, str | list | dict) and len(name) <= _MAX_NAME:
            meaning = _meaning(name, in_preview=above.preview)
            if meaning.skipped or (above.relations and name.lower() in _LINK_RELATIONS):
                yield _Found(None)  # counted, not entered
                continue
        yield _Found(value, name, meaning, owner)


@lru_cache(maxsize=1024)
def _meaning(name: str, *, in_preview: bool = False) -> _Name:
    words = [word.lower() for word in _WORD.findall(name.replace("URL", "Url").replace("URI", "Uri"))]
    addressed = bool(words) and words[-1] in _ADDRESS_WORDS
    subject = words[:-1] if addressed else words
    return _Name(
        skipped=(
            "_".join(words) in _NOT_OUTPUT
            or not {"input", "inputs"}.isdisjoint(words)
            or (len(words) > 1 and words[0] in _ECHO_WORDS and words != ["original", "url"])
            or (addressed and bool(subject) and all(word in _CONTROL_WORDS for word in subject))
        ),
        preview=in_preview or not _PREVIEW_WORDS.isdisjoint(words),
        addressed=addressed,
        relations=words in (["urls"], ["links"]),
    )
