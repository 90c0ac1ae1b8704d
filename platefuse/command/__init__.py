"""The commands of ``platefuse``: one module for each that is more than a few lines."""
