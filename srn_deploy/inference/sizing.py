"""One image brought to the size that was asked for: by the network and a reduction, or by the reduction alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srn_deploy.image import Image, Pixels
from srn_deploy.image.output_size import AS_THE_MODEL_GIVES, OutputSize
from srn_deploy.image.reduction import reduced_with_alpha
from srn_deploy.inference.arrays import (
    colour_and_alpha,
    like_input,
    upscale_colour_and_alpha,
    upscale_guarded_alike,
)
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.stages import Sentences
from srn_deploy.inference.upscale import check_is_known
from srn_deploy.tiling.tiles import PixelArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Upscaled:
    """What the network made of an image, which is not yet of the size that was asked for."""

    original: Image
    colour: Pixels
    alpha: Pixels | None
    height: int
    width: int
    """Both of the result, in pixels."""

    def finished(self) -> Image:
        """The image in its size, with metadata for it. It takes time: whoever encodes the image calls it."""
        colour, alpha = reduced_with_alpha(self.colour, self.alpha, self.height, self.width)
        return self.original.enlarged(colour, alpha)


def needs_network(size: OutputSize, height: int, width: int, *, factor: int) -> bool:
    """Whether the result is larger than the image; smaller ones are made without the network.

    Raises UnwritableImage where the model does not give that much.
    """
    rows, columns = size.of(height, width, factor=factor)
    return size.is_free or rows > height or columns > width


def upscaled(image: Image, setup: Setup, size: OutputSize = AS_THE_MODEL_GIVES) -> tuple[Upscaled, Sentences]:
    """A decoded image upscaled in colour and alpha where its result is larger than it; and what the guard found."""
    factor = setup.backend.spec.scale
    height, width = size.of(image.height, image.width, factor=factor)
    colour, alpha = image.pixels, image.alpha
    findings: Sentences = ()
    if needs_network(size, image.height, image.width, factor=factor):
        colour, alpha, findings = upscale_colour_and_alpha(image.pixels, image.alpha, setup)
    return Upscaled(original=image, colour=colour, alpha=alpha, height=height, width=width), findings


def upscaled_alike(images: Sequence[tuple[Image, OutputSize]], setup: Setup) -> list[tuple[Upscaled, Sentences]]:
    """As `upscaled` each, by one batch, for images without alpha that need the network; see `upscale_alike`."""
    large = upscale_guarded_alike([image.pixels for image, _ in images], setup)
    factor = setup.backend.spec.scale
    results: list[tuple[Upscaled, Sentences]] = []
    for (image, size), (colour, findings) in zip(images, large, strict=True):
        height, width = size.of(image.height, image.width, factor=factor)
        sentence = findings.sentence("image")
        results.append((Upscaled(original=image, colour=colour, alpha=None, height=height, width=width),
                        (sentence,) if sentence else ()))
    return results


def upscale_array(image: PixelArray, setup: Setup,
                  size: OutputSize = AS_THE_MODEL_GIVES) -> tuple[PixelArray, Sentences]:
    """Upscale one image, to a size where one is asked for, and report what the guard found, as sentences.

    image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8 in 0..255, uint16 in 0..65535 or float32 in 0..1. The
    result has its number of dimensions, its channels and its dtype, and is a fresh array. Raises UnsuitableBatch for
    other shapes and dtypes, OptionError for float pixels of another range, UnwritableImage for a size that is more
    than the model gives.
    """
    colour, alpha = colour_and_alpha(image)
    factor = setup.backend.spec.scale
    height, width = size.of(*colour.shape[:2], factor=factor)
    findings: Sentences = ()
    if needs_network(size, *colour.shape[:2], factor=factor):
        colour, alpha, findings = upscale_colour_and_alpha(colour, alpha, setup)
    else:
        check_is_known(colour.dtype)
        colour = colour.copy()
    return like_input(image, *reduced_with_alpha(colour, alpha, height, width)), findings
