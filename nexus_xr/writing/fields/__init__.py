"""From the values of xarray's variables to those of fields."""
