"""Virtual datasets: which elements are which of their sources'."""
