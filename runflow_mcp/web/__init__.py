"""The HTTP edge: guards in front, one route for JSON-RPC, and the few documents beside it."""
