"""``python -m runflow_mcp`` is the same as ``runflow-mcp``."""

import sys

from runflow_mcp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
