"""The dispatcher: the process that assigns jobs to workers and keeps their time."""
