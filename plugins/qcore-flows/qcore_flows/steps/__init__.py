"""Durable steps: a task that remembers what it has done."""
