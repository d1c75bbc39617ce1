"""Sliding-window limits: exact arithmetic, kept in this process or shared through Redis."""
