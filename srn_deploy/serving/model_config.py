"""`config.pbtxt` of a served model: shapes, instances, queue, warm-up, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from srn_deploy.serving.contract import CONTRACT, FINDINGS, TENSORS, Parameter
from srn_deploy.serving.options import InstanceOptions, QueueOptions, ServeOptions
from srn_deploy.system.installed import own_version

RESOURCE = "srn_deploy"
"""What an instance holds while it runs, so that `--rate-limit=execution_count` lets one of them run at a time on each
device: `--rate-limit-resource` sets how many."""

WARM_UP_PX = 64
"""Side of the image that every instance upscales before the model is called ready."""

_ANY_IMAGE = (-1, -1, -1)
_MICROSECONDS = 1e6


def upscaler_config(name: str, scale: int, options: ServeOptions) -> str:
    """The configuration of the model that upscales images of any size, run by the Python backend."""
    config = triton.ModelConfig(name=name, backend="python", max_batch_size=0)
    for tensors in TENSORS:
        kind = f"TYPE_{tensors.triton_type}"
        config.input.add(name=tensors.image, data_type=kind, dims=_ANY_IMAGE, optional=True)
        config.output.add(name=tensors.upscaled, data_type=kind, dims=_ANY_IMAGE)
    config.output.add(name=FINDINGS, data_type="TYPE_UINT8", dims=[-1])
    _add_instances(config, options.instances)
    if options.queue.is_limited:
        _add_queue(config, options.queue)
    warm_up = config.model_warmup.add(name="an image", batch_size=1).inputs[TENSORS[0].image]
    warm_up.data_type = triton.TYPE_UINT8
    warm_up.dims.extend((WARM_UP_PX, WARM_UP_PX, 3))
    warm_up.random_data = True
    config.version_policy.latest.num_versions = options.versions
    said: dict[str, str] = {Parameter.CONTRACT: CONTRACT, Parameter.VERSION: own_version(),
            Parameter.SCALE: str(scale), Parameter.MOST_MEGAPIXELS: f"{options.max_megapixels:g}"}
    if options.environment is not None:
        said |= {"EXECUTION_ENV_PATH": str(options.environment)}  # as the Python backend calls it
    for key, value in said.items():
        config.parameters[key].string_value = value
    return _as_text(config)


def bare_config(name: str, platform: str, tensors: tuple[list[dict[str, Any]], list[dict[str, Any]]],
                options: ServeOptions) -> str:
    """The configuration of a graph or an engine that a backend of the server runs as it is.

    platform: as Triton calls it. tensors: name, data_type and dims of each input and each output; those of an engine
    are read from it by the server.
    """
    config = triton.ModelConfig(name=name, platform=platform, max_batch_size=0)
    for given in tensors[0]:
        config.input.add(**given)
    for given in tensors[1]:
        config.output.add(**given)
    _add_instances(config, options.instances)
    config.version_policy.latest.num_versions = options.versions
    return _as_text(config)


def _add_instances(config: Any, instances: InstanceOptions) -> None:
    kind = triton.ModelInstanceGroup.KIND_GPU if instances.gpus else triton.ModelInstanceGroup.KIND_CPU
    group = config.instance_group.add(kind=kind, count=instances.count, gpus=instances.gpus)
    resource = group.rate_limiter.resources.add(name=RESOURCE, count=1)
    setattr(resource, "global", not instances.gpus)  # a word of Python's own


def _add_queue(config: Any, queue: QueueOptions) -> None:
    # The queue with limits is that of the dynamic batcher. Images differ in size, so it makes no batches of them.
    policy = config.dynamic_batching.default_queue_policy
    policy.max_queue_size = queue.most_waiting or 0  # 0: any number
    policy.timeout_action = triton.ModelQueuePolicy.REJECT
    policy.allow_timeout_override = True
    if queue.most_wait_s is not None:
        policy.default_timeout_microseconds = round(queue.most_wait_s * _MICROSECONDS)


def _as_text(config: Any) -> str:
    return str(text_format.MessageToString(config))


def is_ours(path: Path) -> bool:
    """Whether the configuration at a path was written by this package; other files are not overwritten."""
    try:
        return Parameter.CONTRACT in path.read_text(encoding="utf-8") or f'"{RESOURCE}"' in path.read_text(
            encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
