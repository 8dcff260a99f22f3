"""What the keys of a checkpoint leave open: found out by trying every setting on one image."""
