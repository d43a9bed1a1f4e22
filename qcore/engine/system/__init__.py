"""What the operating system is told and asked: processes, memory, descendants."""
