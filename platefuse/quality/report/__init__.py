"""The report of a plate: one HTML page, and the heat maps of the plate as SVG files.

`page.render` makes the page, `figures.write_plate_svgs` the files. Both read a
`platefuse.quality.model.PlateReport` and the pictures of its wells, no pixels.
"""
