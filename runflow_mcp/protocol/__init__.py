"""JSON-RPC 2.0 and the MCP revisions as values and tables. Must not import I/O, the clock or an HTTP library."""
