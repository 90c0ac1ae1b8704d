"""Programs that do one job once, each started in a separate process.

They also run in the environments of the peers. Therefore a job imports only the standard library
outside of its functions.
"""
