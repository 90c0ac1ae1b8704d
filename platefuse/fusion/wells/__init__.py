"""Fuse the wells of a plate into the fused plate."""
