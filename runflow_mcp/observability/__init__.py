"""Log lines and metrics: what the operator sees of a running server. Must not import what it observes."""
