"""What a scientist does with metadata: look at it, find in it, and make coordinates of it."""
