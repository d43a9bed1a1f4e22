"""What travels between the processes of a cluster: frames, messages, prefetched orders."""
