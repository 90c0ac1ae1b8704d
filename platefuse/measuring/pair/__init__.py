"""Measure the shift between two images."""
