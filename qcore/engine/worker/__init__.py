"""The worker: a process that runs one task at a time."""
