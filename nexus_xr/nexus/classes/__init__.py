"""The classes of groups that are data in a way of their own, one a module, and the table of them all."""
