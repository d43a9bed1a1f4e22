"""The contracts of plugins: tests that the author of a plugin inherits.

Import the contracts from ``qcore.testing``; each is a module or a folder here, and what
several contracts need stands beside them.
"""
