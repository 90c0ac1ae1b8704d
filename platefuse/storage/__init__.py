"""Files, arrays and threads of one machine; knows no OME."""
