"""Draws the pictures, videos and sounds that runs return. Must not import the simulated API."""
