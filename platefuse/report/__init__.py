"""The report of a plate: one HTML page, and the heat maps of the plate as SVG files.

`platefuse.report.page.render` makes the page, `platefuse.report.figures.write_plate_svgs` the
files. Both read a `platefuse.quality.model.PlateReport` and the pictures of its wells, no pixels.
"""
