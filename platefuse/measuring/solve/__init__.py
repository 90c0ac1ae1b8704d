"""From the shifts of pairs to a place for every field. Pure: reads no files."""
