"""The result view: the HTML document in which hosts show the result of ``generate`` (MCP Apps, 2026-01-26)."""
