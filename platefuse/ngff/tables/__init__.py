"""Tables of an image, as Fractal writes them."""
