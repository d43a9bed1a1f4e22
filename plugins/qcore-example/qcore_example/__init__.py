"""The template of a qcore plugin: a small broker that keeps its queue in a folder."""
