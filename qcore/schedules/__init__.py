"""Schedules: the contract (``base``), pure arithmetic (``rules``), the database (``orm``)."""
