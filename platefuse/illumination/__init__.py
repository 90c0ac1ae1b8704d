"""Flat-field correction of raw images: profiles, their channels, and what was applied."""
