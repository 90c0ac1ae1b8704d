"""Images of the multiview-stitcher data model: what `platefuse.fuse` reads and writes."""
