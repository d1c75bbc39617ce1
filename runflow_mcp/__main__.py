"""``python -m runflow_mcp``: the same as the ``runflow-mcp`` command."""

import sys

from runflow_mcp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
