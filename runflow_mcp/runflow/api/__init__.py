"""Requests to Runflow's REST API, and what each answer means."""
