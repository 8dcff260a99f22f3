"""The sentences of the pages that `render` makes; figures come from records."""

from __future__ import annotations

COMMAND = "python -m benchmarks.render"

INTRODUCTION = f"""# Benchmarks

This page, its plots and [report.html](report.html), the same with charts and tables that can be sorted, are
rendered by `{COMMAND}` from the records in [records/](records); a test fails when they are stale. A
record is the figures of one run with its environment. All commands run in the root of a checkout
with the `dev` extra installed. Images come from the folder that `SRN_DATA` names."""

TILING = """## Tiles against the whole image

A network with ESA looks at the whole image: its attention map is pooled on a grid and stretched back by a
ratio that depends on the size of the image. A tile that is run as if it were an image of its own (naive)
therefore computes another network. srn-deploy gives each tile its part of the whole image's matrices
(global geometry). Both ways cut the same windows here. dB against the whole image, and the worst value of all
images in levels of 0…255; "no difference" means that not one 8-bit value differs.

Measure: `python -m benchmarks.tiling_study`, for other weights with `--checkpoint FILE`."""

FILE_TO_FILE = """## From file to file

Whole processes, from their start to their end: `srn-deploy upscale IN OUT --model GRAPH --device cpu` against
[a plain script](eager_script.py) that imports PyTorch, loads the checkpoint, runs it eagerly in float32 on the
whole image and saves a PNG with OpenCV's own settings. Run in turn, with the same number of threads; ratios
are taken pair by pair. Each cell is the median, and in brackets the minimum and the maximum.

Measure: `python -m benchmarks.file_to_file` on a machine that does nothing else."""

MEMORY = """## Memory

`srn-deploy upscale IN OUT` with its defaults on a large image that is drawn for it; the peak is the largest
resident set of the whole process, as the operating system reports it at the end.

Measure: `python -m benchmarks.memory`."""

PHOTO = """## Images of unknown origin

Which model is better when nobody knows what has happened to an image before: the published inputs of Set5 and
Set14, clean and damaged in one way at a time, PSNR on Y in dB against the undamaged original, mean over all
images. Bold is the best of a row.

Measure: `python -m benchmarks.photo_study`, and for other scales with `--scale 2`;
draw: `python -m benchmarks.before_after`.

![A noisy, compressed image enlarged by bicubic interpolation and by two models](plots/photo.png)"""

ABLATION = """## The paper's claims, tried

Networks of the paper's Tables 2 to 4, trained alike for one small budget with several seeds: see
[ablation.md](ablation.md)."""

GPU = """## What works on a GPU

What a machine with a GPU proves, with whatever of PyTorch, ONNX Runtime, PyCUDA, TensorRT and
TensorRT-RTX is installed there; a section that cannot run says why. Times are milliseconds for one pass over one
image of 510 × 339 px (×4), candidates in turn, after warm-up.

Measure: `python -m benchmarks.gpu_report --minutes 25`, then `--collect FOLDER`; see
[docs/benchmarks.md](../docs/benchmarks.md#on-a-gpu)."""

PAPER = """## The paper's tables

Tables 1 to 5 of the paper, every public network timed by its protocol in one run; how to measure:
[docs/benchmarks.md](../docs/benchmarks.md). Quality marked m comes from the evaluations in [records/](records): of the
published checkpoints of RLFN, IMDN and FSRCNN, and for SRN-S of models of this project, trained for far less.

Measure: `srn-deploy bench --paper --save benchmarks/records/paper-NAME.json`; the plot is of the first record."""
