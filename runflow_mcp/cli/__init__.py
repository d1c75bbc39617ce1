"""The commands of ``runflow-mcp`` and what they print."""
