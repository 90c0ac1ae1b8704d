"""Measure where the fields of a plate are: shifts between acquisitions, and stage positions."""
