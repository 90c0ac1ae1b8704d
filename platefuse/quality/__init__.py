"""Whether a fused well is right: figures, a verdict and pictures, and what a report shows."""
