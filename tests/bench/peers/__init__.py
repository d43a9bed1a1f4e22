"""Adapters: what to install for a peer, how it is configured, how its workers start."""
