"""Whether a fused well is right: figures, a verdict, pictures and the report of a plate."""
