"""The tables of the dashboard."""
