"""A cluster: what it is made of, from the settings of the current project."""
