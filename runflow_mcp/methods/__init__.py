"""The JSON-RPC methods: handlers that take a request and its context. Must not import HTTP or ``web``."""
