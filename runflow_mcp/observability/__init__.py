"""What the operator sees of a running server: log lines and metrics."""
