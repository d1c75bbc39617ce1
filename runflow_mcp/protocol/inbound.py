"""Which revision the message of a POST uses, decided from its body and three headers.

Pure; knows nothing of methods. ``classify`` uses the first of these rules that applies:

1. A request whose ``_meta`` has a protocol version or client capabilities is modern, ``initialize`` included: only
   modern clients write those.
2. A request whose version header names a modern revision is modern, so that a client that forgot ``_meta`` learns
   what is missing. ``initialize`` is an exception: clients that try the newest revision first send it with that header.
3. ``initialize`` is legacy. Its body names the revision, so an unknown one in the header does not matter.
4. Without a version header, any other message uses ``DEFAULT_REVISION``, as the specification says.
5. A supported version in the header is the revision. Notifications and responses are modern by this rule only.
6. Any other version gets -32022, whose data lists the supported ones.

After that, a batch gets -32600 in every revision without batching. ``Mcp-Method`` and ``Mcp-Name`` say nothing about
the revision: a widely used bridge sends them on legacy requests too. A modern request is checked further, in this
order: its ``_meta`` is complete (-32602; the headers are compared with it), the headers repeat the body (-32020), the
revision is supported (-32022). Unknown methods and wrong params are found later, in ``methods``.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runflow_mcp.bounds import quote
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import Batch, ErrorCode, Message, ProtocolError, Request
from runflow_mcp.protocol.meta import META_CAPABILITIES, META_VERSION, read_meta
from runflow_mcp.protocol.revisions import (
    DEFAULT_REVISION,
    LEGACY_REVISIONS,
    MODERN_REVISIONS,
    SUPPORTED,
    Era,
    Features,
    ProtocolContext,
    Revision,
)

#: The param that the Mcp-Name header repeats, by method.
NAME_PARAM: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
#: What a client may declare beside extensions. No method of the product needs these; those of the conformance tests do.
CLIENT_CAPABILITIES = ("elicitation", "roots", "sampling")
#: Around a header value that is base64 of UTF-8 (2026-07-28, "Request Metadata").
_ENCODED_PREFIX, _ENCODED_SUFFIX = "=?base64?", "?="
#: The context of a message without capabilities, by the value of its version header; made once.
_WITHOUT_CAPABILITIES: Mapping[str, ProtocolContext] = {str(name): ProtocolContext(name) for name in Revision}
_DEFAULT = _WITHOUT_CAPABILITIES[DEFAULT_REVISION]


class RoutingHeaders(NamedTuple):
    """The values of MCP-Protocol-Version, Mcp-Method and Mcp-Name: each that was sent, in order."""

    version: Sequence[str] = ()
    method: Sequence[str] = ()
    name: Sequence[str] = ()


def classify(message: Message | Batch, headers: RoutingHeaders) -> ProtocolContext | ProtocolError:
    """The revision of a POST, or the error to answer it with (``http_status.CLASSIFY_ERROR_STATUS``)."""
    version = _version(headers)
    if isinstance(message, Request):
        is_initialize = message.method == "initialize"
        meta = read_meta(message.params)
        is_modern = META_VERSION in meta or META_CAPABILITIES in meta
        if is_modern or (version in MODERN_REVISIONS and not is_initialize):
            return _classify_modern(message, meta, headers)
        if is_initialize:
            return _WITHOUT_CAPABILITIES[version] if version in LEGACY_REVISIONS else _DEFAULT
    context = _DEFAULT if version is None else _WITHOUT_CAPABILITIES.get(version)
    if context is None:
        return _unsupported_version(version or "")
    if isinstance(message, Batch) and not context.features.batching:
        return ProtocolError(
            ErrorCode.INVALID_REQUEST, "This revision takes one message per request; arrays ended with 2025-03-26."
        )
    return context


def _version(headers: RoutingHeaders) -> str | None:
    """The version header; several are joined into one value, which is unsupported."""
    values = headers.version
    if not values:
        return None
    return values[0].strip(" \t") if len(values) == 1 else ", ".join(map(_trimmed, values))


def _classify_modern(request: Request, meta: JSONObject, headers: RoutingHeaders) -> ProtocolContext | ProtocolError:
    version, capabilities = meta.get(META_VERSION), meta.get(META_CAPABILITIES)
    if not isinstance(version, str) or not isinstance(capabilities, dict):
        header = _version(headers)
        if header is not None and header not in SUPPORTED:
            # A client of an unknown revision must learn which ones are supported; its ``_meta`` may differ.
            return _unsupported_version(header)
        return ProtocolError(
            ErrorCode.INVALID_PARAMS,
            f"The request's params._meta needs {META_VERSION} (a string) and {META_CAPABILITIES} (an object).",
        )
    param = NAME_PARAM.get(request.method)
    name = request.params.get(param) if param else None
    repeated = _Repeated(version, request.method, name if isinstance(name, str) else None)
    if not repeated.plainly_in(headers):
        mismatch = repeated.mismatch(headers)
        if mismatch is not None:
            return mismatch
    context = _WITHOUT_CAPABILITIES.get(version)
    if context is None or context.era is not Era.MODERN:
        return _unsupported_version(version)
    recognized = _recognized_capabilities(capabilities, context.features) if capabilities else None
    return ProtocolContext(context.revision, recognized) if recognized else context


def _recognized_capabilities(capabilities: JSONObject, features: Features) -> JSONObject:
    """The capabilities that this server uses, each as an empty object, since a waiting call keeps them."""
    recognized: dict[str, JSON] = {name: {} for name in CLIENT_CAPABILITIES if isinstance(capabilities.get(name), dict)}
    extensions = capabilities.get("extensions")
    if isinstance(extensions, dict):
        recognized["extensions"] = {name: {} for name in features.extensions if isinstance(extensions.get(name), dict)}
    return recognized


class _Repeated(NamedTuple):
    """The parts of a body that the headers must repeat. ``name``: None where there is none of the right type."""

    version: str
    method: str
    name: str | None

    def plainly_in(self, headers: RoutingHeaders) -> bool:
        """Whether each header is there once and is the value as it is: the usual case, in a tenth of the time."""
        name = self.name
        return (
            len(headers.version) == len(headers.method) == 1
            and headers.version[0] == self.version
            and headers.method[0] == self.method
            and (name is None or (len(headers.name) == 1 and headers.name[0] == name))
            and not (name and name.startswith(_ENCODED_PREFIX))
        )

    def mismatch(self, headers: RoutingHeaders) -> ProtocolError | None:
        """The error for the first header that does not repeat the body."""
        pairs: list[tuple[str, tuple[str | None, ...], str]] = [
            ("MCP-Protocol-Version", tuple(map(_trimmed, headers.version)), self.version),
            ("Mcp-Method", tuple(map(_trimmed, headers.method)), self.method),
        ]
        if self.name is not None:  # another type is a wrong param, found later
            pairs.append(("Mcp-Name", tuple(map(_decoded, headers.name)), self.name))
        for header, values, expected in pairs:
            problem = _header_problem(values, expected)
            if problem:
                message = f"The header {header} {problem}; send it with the body's own value."
                return ProtocolError(ErrorCode.HEADER_MISMATCH, message)
        return None


def _header_problem(values: tuple[str | None, ...], expected: str) -> str:
    if not values:
        return "is missing"
    if len(values) > 1:
        return "was sent more than once"
    if values[0] is None:
        return "is malformed"
    return "" if values[0] == expected else "differs from the body"


def _trimmed(value: str) -> str:
    """A header value without the white space around it (RFC 9110, 5.5)."""
    return value.strip(" \t")


def _decoded(value: str) -> str | None:
    """A header value, decoded if it is marked as base64; None where that fails."""
    text = _trimmed(value)
    encoded = text.removeprefix(_ENCODED_PREFIX)
    if encoded == text or not encoded.endswith(_ENCODED_SUFFIX):
        return text
    try:
        return base64.b64decode(encoded.removesuffix(_ENCODED_SUFFIX), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _unsupported_version(version: str) -> ProtocolError:
    return ProtocolError(
        ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
        f"This server does not support the protocol version of this request. It supports {', '.join(SUPPORTED)}.",
        {"supported": list(SUPPORTED), "requested": _quoted_version(version)},
    )


def _quoted_version(version: str) -> str:
    """An unsupported version, shortened; empty when it may be an API key in the wrong header."""
    return "" if "_" in version and any(map(str.isalpha, version)) else quote(version)
