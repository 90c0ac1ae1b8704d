"""Register the acquisitions of a well to one of them, and swap the images."""
