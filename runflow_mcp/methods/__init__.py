"""What each JSON-RPC method does: plain coroutine handlers of a request and its call, without HTTP."""
