"""The config: its keys, and how it is read."""
