"""The smoke test of a running server (``runflow-mcp check``): a client that says what is wrong and what to do.

Speaks HTTP and JSON-RPC from outside, as any client does; must not import what serves. The key goes into one
header, and every line that is said has it masked.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import aiohttp
import attrs
import orjson
from yarl import URL

from runflow_mcp import __version__
from runflow_mcp.jsontypes import JSON, JSONObject
from runflow_mcp.protocol.revisions import LATEST

#: Seconds: the server breaks silences every 15, so a longer one means that nobody is there.
CONNECT_TIMEOUT, SILENCE_TIMEOUT = 10.0, 45.0
#: Half of the longest line read: a result with its output stands on one line of a stream.
READ_BUFFER = 8 * 1024 * 1024
MAX_LINE = 600
OK, INTERNAL_ERROR = 200, -32603

Say = Callable[[str], None]

#: What went wrong below HTTP, and its fix; the first class that fits counts.
_FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (
        aiohttp.ClientConnectorDNSError,
        "The host name is not known. Correct it in the URL, or check this machine's DNS.",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        "The TLS certificate is not valid for this name. Use the name on it, or have the operator renew it.",
    ),
    (aiohttp.ClientSSLError, "No TLS is spoken there. Write http:// if the server has no TLS, else correct the port."),
    (ConnectionRefusedError, "Connection refused. Start the server, or correct host and port in the URL."),
    (aiohttp.ClientConnectorError, "The host cannot be reached. Check the network between here and there."),
    (
        aiohttp.ConnectionTimeoutError,
        f"No connection within {CONNECT_TIMEOUT:.0f} s. Check host and port, and firewalls on the way.",
    ),
    (
        TimeoutError,
        f"Nothing came for {SILENCE_TIMEOUT:.0f} s. Look into the server's log; proxies must not buffer streams.",
    ),
    (
        aiohttp.ClientResponseError,
        "The answer is no HTTP. Write https:// if the server has TLS, else correct the port.",
    ),
    (ValueError, "This is no URL to use. Write it like https://mcp.example.com/mcp, without user name."),
    (
        aiohttp.ClientError,
        "The connection broke. Write https:// if the server has TLS, else look into its log.",
    ),
)
#: What to do about an HTTP status that came without a sentence of the server's own.
_STATUS_FIXES: Mapping[int, str] = {
    400: "Something on the way spoils the request. Check the URL, and any proxy in front of the server.",
    401: "The key is not accepted. Check --key; a proxy in front may also want a login of its own.",
    403: "Something on the way forbids this. Check the URL, and any proxy in front of the server.",
    404: "There is nothing at this path. Correct the URL; the endpoint ends in /mcp.",
    405: "This path takes no POST. Correct the URL; the endpoint ends in /mcp.",
    429: "There were too many requests.",
    502: "The proxy reaches no server. Start the server, or correct the address that the proxy has of it.",
    503: "The proxy has no server to ask. Start the server, or wait until it is ready.",
    504: "The proxy got no answer in time. Look into the log of the server.",
}
_OTHER_STATUS = "This is no answer of an MCP server. Correct the URL, or look into the log of the server."
_NO_MCP = "No MCP server answers here. Correct the URL."


class Failed(Exception):
    """A step did not work; the text is what is wrong and its fix."""


async def check(url: str, key: str, order: tuple[str, JSONObject] | None, say: Say = print) -> int:
    """Run the steps and ``say`` a line for each; 0 when all work, else 1. ``order``: a model to run, its input."""

    def tell(line: str) -> None:
        text = line.replace(key, "[key]") if key else line
        shown = "".join(one if one.isprintable() else " " for one in text).rstrip()
        say(shown if len(shown) <= MAX_LINE else f"{shown[:MAX_LINE]} …")

    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=READ_BUFFER) as session:
        server = _Server(session, url, key, tell)
        steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("initialize", server.initialize),
            ("list_models", server.list_models),
        ]
        if order is not None:
            steps.append(("generate", partial(server.generate, *order)))
        for name, step in steps:
            try:
                tell(f"ok   {name}: {await step()}")
            except Failed as failed:
                tell(f"FAIL {name}: {failed}")
                return 1
    return 0


@attrs.frozen
class _Server:
    """The server under test. Each step returns what it found, or raises ``Failed``."""

    session: aiohttp.ClientSession
    url: str
    key: str = attrs.field(repr=False)
    tell: Say

    async def initialize(self) -> str:
        if not self.key or not all("!" <= one <= "~" for one in self.key):
            raise Failed("The key is empty or has characters that no key has. Give the whole key with --key.")
        client = {"name": "runflow-mcp check", "version": __version__}
        result = await self._ask("initialize", {"protocolVersion": LATEST, "capabilities": {}, "clientInfo": client})
        match result:
            case {"protocolVersion": str(revision), "serverInfo": {"name": str(name), "version": str(version)}}:
                return f"{name} {version}, protocol {revision}"
        raise Failed(_NO_MCP)

    async def list_models(self) -> str:
        match await self._call("list_models", {"limit": 1}):
            case {"total": int(total), "models": [{"model": str(first)}, *_]}:
                return f"{total} models and Solutions, the first is {first}"
        raise Failed("The catalog is empty. Check RUNFLOW_CATALOG_URL in the settings of the server.")

    async def generate(self, model: str, run_input: JSONObject) -> str:
        match await self._call("generate", {"model": model, "input": run_input}):
            case {"status": str(status), "run_id": str(run_id), "outputs": list(outputs)}:
                return " ".join((f"{status}, run {run_id}", *(str(one.get("url")) for one in outputs)))
        raise Failed(_NO_MCP)

    async def _call(self, tool: str, arguments: JSONObject) -> JSON:
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}}
        result = await self._ask("tools/call", params)
        match result:
            case {"isError": True, "structuredContent": {"error": {"code": code, "message": said, "next_action": fix}}}:
                raise Failed(f"[{code}] {_sentence(said)} {fix}")
            case {"structuredContent": dict(structured)}:
                return structured
        raise Failed(_NO_MCP)

    async def _ask(self, method: str, params: JSONObject) -> JSON:
        """The result of one request."""
        request = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if method != "initialize":
            headers["MCP-Protocol-Version"] = LATEST
        try:
            # A redirect would carry the key to wherever it points.
            async with self.session.post(
                endpoint(self.url), data=orjson.dumps(request), headers=headers, allow_redirects=False
            ) as response:
                message = await self._message(response)
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise Failed(explain(fault)) from fault
        match message:
            case {"result": result}:
                return result
            case {"error": {"code": int(code), "message": str(said)}}:
                fix = "" if code == INTERNAL_ERROR else " Check that this is the URL of a Runflow MCP server."
                raise Failed(f"Error {code}: {_sentence(said)}{fix}")
        raise Failed(_NO_MCP)

    async def _message(self, response: aiohttp.ClientResponse) -> JSON:
        """The JSON-RPC response in an HTTP one; progress on the way to it is told."""
        if response.status == OK and response.content_type == "text/event-stream":
            return await self._last_event(response)
        body = await response.read()
        message = _json(body)
        if response.status != OK:
            raise Failed(refusal(response.status, response.headers, message))
        if message is None:
            page = "A web page" if body.lstrip().startswith(b"<") else "Something that is no JSON"
            raise Failed(f"{page} came back. Another server or a proxy answers at this URL; correct the URL.")
        return message

    async def _last_event(self, response: aiohttp.ClientResponse) -> JSON:
        async for line in response.content:
            field, _, value = line.partition(b":")
            message = _json(value) if field == b"data" else None
            match message:
                case {"method": "notifications/progress", "params": {"message": str(text)}}:
                    self.tell(f"     {text}")
                case {"id": _}:
                    return message
        raise Failed("The stream ended without an answer. A proxy in front cuts long streams, or the server stopped.")


def endpoint(url: str) -> URL:
    """Where to POST: the URL, with /mcp at its end. Raises ``ValueError``."""
    address = URL(url.strip().rstrip("/"))
    if address.scheme not in ("http", "https") or not address.host or address.user is not None:
        raise ValueError("no http:// or https:// URL, or one with a user name")
    return address if address.name == "mcp" else address / "mcp"


def explain(fault: Exception) -> str:
    """A fault below HTTP, and its fix. aiohttp wraps what the system said of a connection."""
    inner = getattr(fault, "os_error", fault)
    return next(
        (text for kind, text in _FAULTS if isinstance(fault, kind) or isinstance(inner, kind)),
        "The connection broke. Try again.",
    )


def refusal(status: int, headers: Mapping[str, str], body: JSON) -> str:
    """An HTTP status other than 200, and its fix: the server's own sentence where it sent one."""
    match body:
        case {"error": {"message": str(said), "data": {"code": str(code)}}}:
            text = f"HTTP {status} {code}: {_sentence(said)}"
        case {"error": {"code": int(code), "message": str(said)}}:
            text = f"HTTP {status}, error {code}: {_sentence(said)}"
        case {"error_description": str(said)}:
            text = f"HTTP {status}: {_sentence(said)}"
        case _ if status // 100 == 3:  # noqa: PLR2004 - any redirect
            text = f"HTTP {status}: The server moved. Use the URL {headers.get('Location', 'that it moved to')}."
        case _:
            text = f"HTTP {status}: {_STATUS_FIXES.get(status, _OTHER_STATUS)}"
    wait = headers.get("Retry-After")
    return f"{text} Try again in {wait} s." if wait and wait.isdigit() else text


def _sentence(text: str) -> str:
    """The text with an end, so that a fix can follow."""
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."


def _json(body: bytes) -> JSON:
    """The JSON in a body; None where there is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
