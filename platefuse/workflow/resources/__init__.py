"""What the jobs of a well need: memory, disk, time and threads."""
