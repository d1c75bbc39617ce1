"""The names by which MCP clients introduce themselves, for a label with few values. Pure."""

#: ``clientInfo.name`` in lower case.
KNOWN_CLIENTS = frozenset(
    {
        "claude-code",
        "claude-ai",
        "claude-desktop",
        "cursor",
        "cursor-vscode",
        "visual studio code",
        "vscode",
        "codex",
        "codex-mcp-client",
        "gemini-cli",
        "gemini-cli-mcp-client",
        "mcp-remote",
        "mcp-inspector",
        "mcp",
    }
)


def client_label(name: str | None) -> str | None:
    """The label of a client; None for one that is not in the list, or gave no name."""
    if name is None:
        return None
    lower = name.lower()
    return lower if lower in KNOWN_CLIENTS else None
