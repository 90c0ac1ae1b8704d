"""The engine: place views into an output image and write it with its pyramid, in one pass.

It knows no file format. Registration and fusion both end here. Words used throughout:

view
    A box of source pixels and the map that places it in the output.
chunk
    The pixels of a stored array that are decoded at once.
shard
    The pixels of a stored array that are encoded at once; without sharding, a chunk.
tile
    A box of one level of the output that is composed and written at once: one or more whole
    shards. Tiles of all levels nest.
region
    Any box of output pixels, for example a tile.
block
    The pixels of a region: an array.
cell
    A piece of a region that the same views cover everywhere.
part
    The tiles of a level that one of several jobs writes.
"""
