"""PSNR and SSIM, as published tables count them."""
