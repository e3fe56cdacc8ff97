"""What runs reading and writing: threads, memory, worker processes, and other packages' libraries."""
