"""A run as data: its state, its outputs, why it failed, when to ask for it again. Pure."""
