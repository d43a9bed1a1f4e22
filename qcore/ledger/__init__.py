"""The ledger: what must be known of tasks beyond the broker, in a database of the project."""
