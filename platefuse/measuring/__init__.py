"""Measure shifts between acquisitions, and positions of fields on the stage."""
