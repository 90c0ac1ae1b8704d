"""multiview-stitcher's own tests, with its `fuse` replaced by ours."""
