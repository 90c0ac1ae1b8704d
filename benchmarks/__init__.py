"""Measures platefuse against its peers and against the codec limit: ``make bench``."""
