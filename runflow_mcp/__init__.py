"""A self-hosted, stateless Model Context Protocol server in front of the Runflow API."""

__version__ = "0.1.0"
