"""Read image files: formats, orientation, limits, sizes, thumbnails."""
