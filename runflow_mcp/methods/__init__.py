"""What each JSON-RPC method does: coroutine handlers of a request and its context, without HTTP."""
