"""What of an array is asked for, and the blocks in which it is read and reduced."""
