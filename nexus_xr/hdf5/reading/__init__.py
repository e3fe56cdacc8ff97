"""Reading selections of a dataset: where its chunks are, what to read, and decoding it side by side."""
