"""Any NeXus file as a Zarr hierarchy: metadata and chunks made of what the file holds, and copies of it."""
