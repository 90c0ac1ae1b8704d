"""Programs that do one job once, each started as a process of its own.

They run in the environments of the peers, too: outside of its functions a job imports
nothing but the standard library.
"""
