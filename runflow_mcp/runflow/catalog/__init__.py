"""The public documents: the model catalog and the agent skill, fetched, read and kept fresh."""
