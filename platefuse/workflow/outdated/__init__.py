"""Receipts that no longer hold are removed, so that their jobs run again."""
