"""Tolerant reading of what Runflow sends: texts, flags, links, errors, bodies of any size. Pure."""
