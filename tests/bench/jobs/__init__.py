"""The app of a project that uses qcore: its tasks are where a cluster looks for them."""
