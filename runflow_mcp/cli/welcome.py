"""The texts printed when the server has started, with its URL, a key and first commands, and when it stops. Pure."""

import shlex
from collections.abc import Sequence

from runflow_mcp.settings.config import Config

SANDBOX_KEY = "rf_live_sandbox"
MODEL = "google/nano-banana-2"
INPUT = '{"prompt": "a lighthouse at dusk"}'
#: The server that `check` tests by default.
DEFAULT_URL = "http://127.0.0.1:8080/mcp"
#: Wildcard addresses, and the address to reach the server at.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - compared, not bound


def local_url(config: Config) -> str:
    """The server's URL on this machine."""
    host = _ANY.get(config.host, config.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}/mcp".replace("%", "%25")


def client_url(config: Config) -> str:
    """The URL that clients use."""
    return f"{config.public_url}/mcp" if config.public_url else local_url(config)


def drain_notice(waits: int, config: Config) -> str:
    """The text for a person who stops the server while calls wait; empty when none do."""
    if not waits:
        return ""
    runs = "1 run" if waits == 1 else f"{waits} runs"
    return f"Waiting for {runs} to finish, at most {config.shutdown_grace:g} s. Press Ctrl-C again to stop now."


def welcome(config: Config, program: Sequence[str], *, sandbox: bool) -> str:
    """The text. ``program``: the words that call this program, so that the printed commands can be pasted."""
    url, local = client_url(config), local_url(config)
    command = [*program, "check", *([] if local == DEFAULT_URL else [local])]
    if sandbox:
        command += ["--key", SANDBOX_KEY]
        head = (
            "Runflow MCP server with the embedded sandbox (a simulated Runflow: no account needed, nothing is billed)"
        )
        key = f"sandbox key  {SANDBOX_KEY}"
        first = "Make a first picture, in a second terminal:"
        header = raw_header = shlex.quote(f"Authorization: Bearer {SANDBOX_KEY}")
    else:
        head = f"Runflow MCP server for {config.api_url} (runs cost money)"
        key = "API key      your own; it starts with rf_live_ (Runflow dashboard, Settings → API keys)"
        first = "Make a first picture, in a second terminal; the command asks for the key:"
        # The client expands the first form, the shell the second: the key appears in no file and no command.
        header, raw_header = "'Authorization: Bearer ${RUNFLOW_API_KEY}'", '"Authorization: Bearer $RUNFLOW_API_KEY"'
    picture = shlex.join([*command, "--generate", MODEL, INPUT])
    call = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate","arguments":'
        f'{{"model":"{MODEL}","input":{INPUT}}},"_meta":{{"progressToken":1}}}}}}'
    )
    return f"""
{head}

  URL          {url}
  {key}

{first}

  {picture}

The same as a raw HTTP call:

  curl -N {url} \\
    -H {raw_header} \\
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\
    -d {shlex.quote(call)}

Claude Code:

  claude mcp add --transport http runflow {url} --header {header}

Ctrl-C stops the server.
"""
