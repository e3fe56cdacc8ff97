"""Messages of object headers that stand for themselves."""
