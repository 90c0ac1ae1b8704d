"""Fuse overlapping views, or the fields of a well, into one image."""
