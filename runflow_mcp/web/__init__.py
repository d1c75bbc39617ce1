"""The HTTP edge: middlewares, the JSON-RPC endpoint, health and well-known documents. No method is implemented here."""
