"""Images that are read and written by bands of rows, so that memory does not grow with them.

`source` opens a file for its rows: TIFF by strips or tiles (`tiff_rows`), PNG as a stream (`png_rows`), other files
decoded whole. `reducing` makes rows smaller as they come. `writing` writes them, as PNG (`png_stream`) or TIFF
(`tiff_stream`); the result has the pixels and the metadata that it would have if it were made and written whole.
"""
