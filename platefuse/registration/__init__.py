"""Move the acquisitions of a well onto one reference, and swap the images."""
