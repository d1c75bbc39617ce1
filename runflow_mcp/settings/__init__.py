"""The settings: how they are read from the environment, checked and warned about."""
