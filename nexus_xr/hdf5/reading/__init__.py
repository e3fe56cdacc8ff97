"""Values of datasets: parts of them, read and decoded by many threads.

A selection goes from `array` (which opens the file, and looks its `layouts` up) to the `engine` (`engine`, `few_chunks`
or `plan` and `many_chunks`, `chunk`), to `virtual_reading` where a dataset is made of others, or to `processes` where
only libhdf5 can decode; `conversion` makes values of what isn't stored as they are.
"""
