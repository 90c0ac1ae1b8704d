"""OME-Zarr metadata on disk: plates, wells, images; JSON only, no array library."""
