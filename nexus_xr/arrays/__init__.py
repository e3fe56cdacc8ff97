"""What xarray's arrays carry along that they have no place for themselves: edges of bins, uncertainties."""
