"""Looking at files without making arrays of them: what they are about, what they hold, whether it can be read."""
