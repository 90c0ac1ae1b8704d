"""The camera fields of a well: where they are, and their pixels."""
