"""The names by which well-known MCP clients introduce themselves, for a label with few values. Pure."""

from functools import lru_cache

#: ``clientInfo.name`` in lower case.
KNOWN_CLIENTS = frozenset(
    {
        *("claude-code", "claude-ai", "claude-desktop", "chatgpt", "openai-mcp", "mistral"),
        *("cursor", "cursor-vscode", "visual-studio-code", "vscode", "windsurf", "windsurf-client", "zed"),
        *("cline", "roo-code", "kilo-code", "continue-client", "continue-cli-client", "antigravity-client"),
        *("codex", "codex-mcp-client", "gemini-cli", "gemini-cli-mcp-client", "github-copilot-developer"),
        *("opencode", "goose", "crush", "amp-mcp-client", "factory-cli", "q-dev-cli", "kiro"),
        *("@librechat/api-client", "@n8n/n8n-nodes-langchain.mcpclienttool", "cherry-studio", "lobehub-mcp-client"),
        *("postman-client", "com.raycast.macos", "mcp-remote", "mcp-inspector", "inspector-client", "mcp"),
    }
)
#: What mcp-remote appends to the name of the client behind it.
_VIA = " (via "


@lru_cache(maxsize=256)  # each request of the modern era has a name, of at most 64 characters
def client_label(name: str | None) -> str | None:
    """The label of a client; None for one that is not in the list, or gave no name."""
    if name is None:
        return None
    known = name.partition(_VIA)[0].lower().replace(" ", "-")
    return known if known in KNOWN_CLIENTS else None
