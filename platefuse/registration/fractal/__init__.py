"""Tasks for the Fractal platform, as `__FRACTAL_MANIFEST__.json` lists them.

A server starts each task as a program, with a file of arguments and a path for the result.
"""
