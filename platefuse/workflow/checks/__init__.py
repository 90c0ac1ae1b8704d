"""What is checked before the first job: what is wrong stops a run before it changes a plate."""
