"""Compare what two versions of platefuse write: ``python -m benchmarks.same_plates --help``."""
