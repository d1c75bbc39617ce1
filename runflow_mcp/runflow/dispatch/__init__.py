"""Starting runs: at most one for each client_ref."""
