"""Log lines and metrics: what the operator sees of a running server. Must import neither the web nor the upstream."""
