"""The tools: one file each, with its definition, its arguments and its handler. ``router.TOOLS`` lists them."""
