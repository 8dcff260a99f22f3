"""Which windows an image is cut into, and how they are joined without a seam."""
