"""JSON-RPC 2.0 and the MCP revisions as values and tables: no I/O, no clock, no HTTP library."""
