"""Several processes that serve one port: the parent that starts them, and how it and they talk."""
