"""How each client is connected to this server: its command, its install link, its file. Pure.

The page for people shows these recipes. They contain no key.
"""

import base64
import shlex
from urllib.parse import quote, urlencode, urlsplit

import attrs
import orjson

from runflow_mcp.addresses import is_loopback_host
from runflow_mcp.json_types import JSON

#: The name of the entry. Clients build the slash commands from it: ``/runflow:headshots``.
ENTRY = "runflow"
#: The variable that the recipes take the key from, and the placeholder where a key must be typed.
KEY_VARIABLE = "RUNFLOW_API_KEY"
KEY_PLACEHOLDER = "<your Runflow API key>"


@attrs.frozen
class ConfigFile:
    """A file of a client. ``place``: its path, or how to open it. ``content``: all of it, or the entry to add."""

    place: str
    content: str


@attrs.frozen
class Recipe:
    """How to connect one client.

    ``name``: a short one for programs. ``command``: one line for a shell, ``exports`` before it.
    ``install_link``: opens the client, which asks before it adds the server. ``steps``: for a client that is set up by
    hand. ``key``: where the key is kept. ``check``: how to see that it works.
    """

    name: str
    title: str
    key: str
    check: str
    exports: str | None = None
    command: str | None = None
    install_link: str | None = None
    file: ConfigFile | None = None
    steps: tuple[str, ...] = ()

    @property
    def shell(self) -> str | None:
        """The lines for a shell."""
        return "\n".join(filter(None, (self.exports, self.command))) if self.command else None


def recipes(url: str) -> tuple[Recipe, ...]:
    """Every recipe for the server at ``url`` (with ``/mcp``), in the order in which they are shown."""
    return (
        _claude_code(url),
        _claude_desktop(url),
        _claude_ai(url),
        _cursor(url),
        _vscode(url),
        _codex(url),
        _gemini_cli(url),
        _mcp_remote(url),
    )


_EXPORT = f"export {KEY_VARIABLE}='{KEY_PLACEHOLDER}'"
_IN_ENVIRONMENT = f"The key stays in the environment variable {KEY_VARIABLE}; the file holds the variable's name."


def _claude_code(url: str) -> Recipe:
    # https://code.claude.com/docs/en/mcp: variables are expanded in headers of http servers.
    header = f"Bearer ${{{KEY_VARIABLE}}}"
    return Recipe(
        name="claude-code",
        title="Claude Code",
        exports=_EXPORT,
        command=f"claude mcp add --transport http {ENTRY} {shlex.quote(url)} --header 'Authorization: {header}'",
        file=ConfigFile(
            ".mcp.json in a project",
            _json({"mcpServers": {ENTRY: {"type": "http", "url": url, "headers": {"Authorization": header}}}}),
        ),
        key=f"{_IN_ENVIRONMENT} Keep the single quotes: Claude Code puts the key in when it connects.",
        check="claude mcp list shows runflow as connected; in a session, /runflow: offers the Solutions.",
    )


def _claude_desktop(url: str) -> Recipe:
    # https://modelcontextprotocol.io/docs/develop/connect-local-servers: a file of local programs.
    server: JSON = {
        "command": "npx",
        "args": ["-y", "mcp-remote", url, *_allow_http(url), "--header", "Authorization:${AUTH_HEADER}"],
        "env": {"AUTH_HEADER": f"Bearer {KEY_PLACEHOLDER}"},
    }
    return Recipe(
        name="claude-desktop",
        title="Claude Desktop",
        file=ConfigFile(
            "claude_desktop_config.json, from Settings → Developer → Edit Config",
            _json({"mcpServers": {ENTRY: server}}),
        ),
        key="The key is in this file, which is outside any project; make it readable only for you. "
        "mcp-remote needs Node.js.",
        check="Quit the application completely and start it again: the tools menu of a chat lists runflow.",
    )


def _claude_ai(url: str) -> Recipe:
    scheme, host = _scheme_and_host(url)
    reachable = scheme == "https" and not is_loopback_host(host)
    steps = (
        "Open Settings → Connectors and choose Add custom connector.",
        f"Name: {ENTRY}. URL: {url}",
        f"Request headers: Authorization with the value Bearer {KEY_PLACEHOLDER}",
    )
    warning = "Claude.ai connects from its own machines: it needs a public https address, which this is not."
    return Recipe(
        name="claude.ai",
        title="Claude.ai",
        steps=steps if reachable else (warning, *steps),
        key="The key is stored with your Claude account. Request headers depend on the plan.",
        check="The page of the connector lists generate and list_models. A login form instead means that no header "
        "was set.",
    )


def _cursor(url: str) -> Recipe:
    # https://cursor.com/docs/mcp/install-links and https://cursor.com/docs/mcp: ${env:NAME} in headers.
    server: JSON = {"url": url, "headers": {"Authorization": f"Bearer ${{env:{KEY_VARIABLE}}}"}}
    config = base64.b64encode(orjson.dumps(server)).decode()
    return Recipe(
        name="cursor",
        title="Cursor",
        install_link=f"cursor://anysphere.cursor-deeplink/mcp/install?{urlencode({'name': ENTRY, 'config': config})}",
        file=ConfigFile("~/.cursor/mcp.json", _json({"mcpServers": {ENTRY: server}})),
        key=f"Cursor reads {KEY_VARIABLE} from the environment that it was started from.",
        check="In the MCP section of Cursor's settings, runflow is on and has two tools.",
    )


def _vscode(url: str) -> Recipe:
    # https://code.visualstudio.com/docs/copilot/reference/mcp-configuration and the extension guide's install links.
    key_input: JSON = {"type": "promptString", "id": "runflow-key", "description": "Runflow API key", "password": True}
    server: dict[str, JSON] = {
        "type": "http",
        "url": url,
        "headers": {"Authorization": "Bearer ${input:runflow-key}"},
    }
    entry = orjson.dumps({"name": ENTRY, **server, "inputs": [key_input]}).decode()
    return Recipe(
        name="vscode",
        title="VS Code",
        install_link=f"vscode:mcp/install?{quote(entry, safe='')}",
        command=f"code --add-mcp {shlex.quote(entry)}",
        file=ConfigFile(
            ".vscode/mcp.json in a project, or MCP: Open User Configuration",
            _json({"inputs": [key_input], "servers": {ENTRY: server}}),
        ),
        key="VS Code asks for the key once and keeps it outside the file.",
        check="MCP: List Servers shows runflow as running.",
    )


def _codex(url: str) -> Recipe:
    # https://developers.openai.com/codex/mcp: bearer_token_env_var. A basic string of TOML is one of JSON.
    return Recipe(
        name="codex",
        title="Codex",
        exports=_EXPORT,
        command=f"codex mcp add {ENTRY} --url {shlex.quote(url)} --bearer-token-env-var {KEY_VARIABLE}",
        file=ConfigFile(
            "~/.codex/config.toml",
            f'[mcp_servers.{ENTRY}]\nurl = {orjson.dumps(url).decode()}\nbearer_token_env_var = "{KEY_VARIABLE}"',
        ),
        key=_IN_ENVIRONMENT,
        check="codex mcp list shows runflow as enabled.",
    )


def _gemini_cli(url: str) -> Recipe:
    # https://geminicli.com/docs/tools/mcp-server: httpUrl is streamable HTTP; $NAME is expanded in settings.json.
    header = f"Bearer ${KEY_VARIABLE}"
    return Recipe(
        name="gemini-cli",
        title="Gemini CLI",
        exports=_EXPORT,
        command=f"gemini mcp add --scope user --transport http {ENTRY} {shlex.quote(url)} "
        f"--header 'Authorization: {header}'",
        file=ConfigFile(
            "~/.gemini/settings.json",
            _json({"mcpServers": {ENTRY: {"httpUrl": url, "headers": {"Authorization": header}}}}),
        ),
        key=_IN_ENVIRONMENT,
        check="gemini mcp list shows runflow as connected (in a folder that Gemini trusts).",
    )


def _mcp_remote(url: str) -> Recipe:
    command = ("npx", "-y", "mcp-remote", url, *_allow_http(url), "--header")
    return Recipe(
        name="mcp-remote",
        title="Any client that starts local programs (mcp-remote)",
        exports=f"export AUTH_HEADER='Bearer {KEY_PLACEHOLDER}'",
        command=f"{shlex.join(command)} 'Authorization:${{AUTH_HEADER}}'",
        key="mcp-remote puts the variable's value in by itself; keep the single quotes. It needs Node.js.",
        check="It prints Proxy established successfully, and waits for the client that starts it.",
    )


def _allow_http(url: str) -> tuple[str, ...]:
    """mcp-remote refuses http to another machine without this option."""
    scheme, host = _scheme_and_host(url)
    return () if scheme == "https" or is_loopback_host(host) else ("--allow-http",)


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Empty texts for an unreadable URL: where any Host is allowed, the URL contains whatever a client has sent."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def _json(value: JSON) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
