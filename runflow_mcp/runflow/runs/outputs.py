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
MAX_SEARCHED_VALUES = 20_000
#: Characters of the addresses in an input that a waiting call keeps; real inputs have few addresses.
MAX_INPUT_ADDRESSES = 4096
#: Characters of a member's name; a longer one is not interpreted.
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
class _Role:
    """What the name of a member says about the value below it.

    ``skipped``: it holds no outputs. ``preview``: it holds previews. ``addressed``: it is an address. ``relations``: it
    is an object of links.
    """

    skipped: bool = False
    preview: bool = False
    addressed: bool = False
    relations: bool = False


_ORDINARY = _Role()
_NO_OWNER: JSONObject = {}


@attrs.define
class _Member:
    """A value, the name of its member, what that name says, and the object that the member belongs to."""

    value: JSON
    name: str = ""
    role: _Role = _ORDINARY
    owner: JSONObject = _NO_OWNER


def find_outputs(output: JSON, run_input: JSON = None, base_url: str = "") -> list[Output]:
    """Every file in an output, once: in document order, previews (thumbnails, posters) after everything else.

    ``run_input``: addresses in it are not outputs. ``base_url``: the API's, completes relative addresses.
    """
    reader = LinkReader(base_url)
    echoed = {text.strip() for text in _strings(run_input) if _can_be_address(text)} if run_input else frozenset()
    api_prefixes = (f"{base_url}/v1/runs", f"{base_url}/v1/models") if base_url else ()
    files: dict[str, Output] = {}
    previews: dict[str, Output] = {}
    size = 0
    for member in _texts(output):
        if member.value in files:
            continue
        url = reader.complete(member.value, addressed=member.role.addressed)
        if url is None or url in echoed or url in files or (url.startswith(api_prefixes) and media_type(url) is None):
            continue
        new = url not in previews
        if member.role.preview:
            previews.setdefault(url, Output(url, _media_type(url, member)))
        else:
            previews.pop(url, None)
            files[url] = Output(url, _media_type(url, member))
        size += len(url.encode()) if new else 0
        if len(files) + len(previews) >= MAX_OUTPUT_URLS or size >= MAX_OUTPUTS_SIZE:
            break
    return [*files.values(), *previews.values()]


def input_addresses(run_input: JSON) -> tuple[str, ...]:
    """The first addresses in an input, ``MAX_INPUT_ADDRESSES`` characters at most."""
    addresses: list[str] = []
    size = 0
    for text in _strings(run_input):
        if _can_be_address(text):
            size += len(text)
            if size > MAX_INPUT_ADDRESSES:
                break
            addresses.append(text)
    return tuple(addresses)


def _strings(value: JSON) -> Iterator[str]:
    """The strings among the first ``MAX_SEARCHED_VALUES`` values, in document order; makes no object for each."""
    stack: list[Iterator[JSON]] = [iter((value,))]
    visited = 0
    while stack:
        for item in stack[-1]:
            visited += 1
            if visited > MAX_SEARCHED_VALUES:
                return
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict | list):
                stack.append(iter(item.values() if isinstance(item, dict) else item))
                break
        else:
            stack.pop()


def _media_type(url: str, member: _Member) -> str | None:
    owner = member.owner if _is_main(member) else {}
    return declared_type(owner) or media_type(url) or implied_type(owner)


def _is_main(member: _Member) -> bool:
    """Whether what an object declares about its file applies to this address."""
    if member.name in _ADDRESSES or len(member.owner) > MAX_MEMBERS:
        return next((name for name in _ADDRESSES if name in member.owner), "") == member.name
    addresses = [name for name, value in member.owner.items() if isinstance(value, str) and "://" in value[:8]]
    return [name for name in addresses if not (_role_of(name).skipped or _role_of(name).preview)] == [member.name]


def _texts(value: JSON) -> Iterator[_Member]:
    """The texts that can be addresses, in document order, without members whose names say that they are not outputs."""
    stack: list[Iterator[_Member]] = [iter((_Member(value),))]
    for _ in range(2 * MAX_SEARCHED_VALUES):  # each value is visited once, each container left once
        member = next(stack[-1], None)
        if member is None:
            stack.pop()
            if not stack:
                return
        elif isinstance(member.value, str):
            if _can_be_address(member.value, addressed=member.role.addressed):
                yield member
        elif isinstance(member.value, list):
            stack.append(_items(member))
        elif isinstance(member.value, dict):
            stack.append(_members(member))


def _can_be_address(text: str, *, addressed: bool = False) -> bool:
    """``addressed``: the name of its member says that it is one."""
    if len(text) > MAX_URL_LENGTH:
        return False
    start = text[:8].lstrip().lower()
    return start.startswith(("http", "/")) or (addressed and "/" in text)


def _items(member: _Member) -> Iterator[_Member]:
    return (_Member(item, member.name, member.role) for item in member.value)


def _members(member: _Member) -> Iterator[_Member]:
    owner, above = member.value, member.role
    relation = owner.get("rel")
    if isinstance(relation, str) and relation.lower() in _LINK_RELATIONS:  # an item of a list of links
        return
    for name, value in owner.items():
        role = _ORDINARY
        if isinstance(value, str | list | dict) and len(name) <= _MAX_NAME:
            role = _role_of(name, in_preview=above.preview)
            if role.skipped or (above.relations and name.lower() in _LINK_RELATIONS):
                yield _Member(None)  # counted, not entered
                continue
        yield _Member(value, name, role, owner)


@lru_cache(maxsize=1024)
def _role_of(name: str, *, in_preview: bool = False) -> _Role:
    words = [word.lower() for word in _WORD.findall(name.replace("URL", "Url").replace("URI", "Uri"))]
    addressed = bool(words) and words[-1] in _ADDRESS_WORDS
    subject = words[:-1] if addressed else words
    return _Role(
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
