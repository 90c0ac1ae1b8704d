"""Views into blocks, blocks into a pyramid; knows no file format."""
