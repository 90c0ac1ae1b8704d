"""Benchmarks of platefuse, other programs and the codec limit: ``make bench``."""
