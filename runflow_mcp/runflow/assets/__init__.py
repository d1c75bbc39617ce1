"""Files of the caller's machine: which inputs name one, and how the caller uploads it to Runflow."""
