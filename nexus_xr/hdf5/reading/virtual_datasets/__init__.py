"""Virtual datasets: what their elements are made of."""
