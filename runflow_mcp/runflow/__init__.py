"""The upstream: Runflow's REST API, its model catalog and its agent skill."""
