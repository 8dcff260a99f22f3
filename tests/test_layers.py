"""The layers inside each package: a file imports only from the files of earlier layers, or from lower packages."""

from __future__ import annotations

from pathlib import Path

from tests.test_house import PACKAGE, imports_of, package_sources

LAYERS: dict[str, tuple[str, ...]] = {
    "system": (("arguments bounded_process cache control_groups cpu_features cuda_driver documents file_times "
                "durations folders hashing installed quiet scheduling telemetry written_formats"),
               "atomic locks memory threads",
               "held_folder"),
    "image": (("alpha bicubic output_size reduction containers/boxes containers/ifd containers/pixel_map "
               "containers/unpacked containers/xmp"),
              "containers/foreign containers/heif_items",
              "containers/jpeg_segments containers/photoshop containers/png_blocks containers/xmp_numbers",
              "containers/xmp_drone containers/xmp_regions",
              ("containers/extended_xmp containers/geotiff containers/jpeg_parts containers/resolution containers/webp "
               "containers/xmp_pixels"),
              ("containers/bmp containers/exif containers/jpeg containers/png containers/tiff_tags "
               "containers/world_file"),
              "containers/avif containers/heif containers/jpeg_xl containers/moving containers/tiff",
              "containers/pages", "containers/__init__", "effort files pillow_images pixels", "levels listing",
              "pairing", "small_versions",
              "bmp cmyk frames heic jpeg jpeg_xl opencv_codec sidecars trial_image webp", "avif tiff",
              "reading writing",
              "bands/encoding bands/png_filters bands/source bands/source_file", "bands/parts",
              "bands/png_rows bands/png_stream bands/reducing bands/tiff_rows bands/tiff_stream",
              "bands/files bands/writing", "sizes", "bands/__init__"),
    "tiling": ("interpolation shapes", "tiles", "rows windows"),
    "registry": ("download file_content published shipped", "pull resolve"),
    "architectures": (("activations complexity esa forms image_residual layers luma signature window_form "
                       "recognition/__init__ weights/__init__ weights/pickled_names"),
                      "families options recognition/trial weights/inert_pickle", "weights/stored_tensors weights/sets",
                      "weights/averaged_forms weights/fit weights/torch_file", "weights/file", "weights/choice",
                      "checkpoint", "recognition/judgement recognition/trial_store", "recognition/recognise",
                      "ecbsr edsr efdn fmen fsrcnn imdn rfdn rlfn rrdbnet spanv2 srcnn srn srvgg vdsr",
                      "bsrn carn dipnet span"),
    "graph": ("live_memory onnx_file pruning", "float_pixels grid_probe", "exact_tiling", "export"),
    "engine": ("library monitor options", "identity", "manifest", "store", "caches load", "build contexts"),
    "backends": ("compiled_models cuda_graph cuda_session first_run protocol pytorch_clock pytorch_graph", "batch",
                 "onnx_runtime open_vino pytorch tensor_rt", "open_vino_products trial_run"),
    "inference": (("file_state guard ledger_identity naming result_options run_presence source_rows stage_times stages "
                   "upscale video_names"), "plan",
                  "earlier_results memory_budget setup shards", "ledger repair",
                  "arrays file_options pipeline sharing", "guarded_rows sizing", "large_results", "memory_needs",
                  "bands", "file_results", "jobs", "band_parts shared_run"),
    "video": ("files layout options segments", "colour library", "conversion planes scan", "probing",
              "decoding encoders", "encoding output", "segment_file", "frames joining rehearsal work_folder",
              "upscaling", "jobs parts"),
    "quality": ("metrics", "pairs", "evaluate"),
    "measurement": ("sizes", "halo reach value_range"),
    "verification": ("agreement sample_images", "certificate export_proof", "verify", "cpu_precision"),
    "external": ("graph_weights merged_weights request source_files spandrel_offer", "graph_file network_class store",
                 "graph_layout network_run", "fixed_size foreign_network own_network spandrel_bridge", "prepare",
                 "foreign_graph", "worker"),
    "quantization": ("channel_groups drawn_images", "calibration nncf_quantizer", "bias_correction equalization",
                     "int8_graph", "export"),
    "tuning": ("choice", "opening"),
    "serving": ("address contract options", "bare_models client model_config served", "remote repository server_model"),
    "cluster": ("openings options parts", "connection joining reports units", "worker", "run"),
    "benchmark": ("environment inputs results summary tables", "candidates machine records",
                  "comparison evaluation_record paper steady_page tuning_work ways", "tuning_images",
                  "figure paper_page paper_protocol steady_state tuning"),
    "doctor": ("findings fixes probe_reports subprocesses", "packages", "conflicts", "engines machine requirements",
               "gpu probe processor tuned", "verdict", "examination"),
    "training": (("curve device interruption jpeg_codec layout muon pixel_file recipe_store recipes/__init__ "
                  "stress warm_start weight_init"), "data degradation recipe",
                 "batches evaluation losses run_folder schedule", "earlier_run step_losses",
                 "initialization options teacher", "trainer"),
    "report": ("axes circumstances content documents", "commands drawing paper pictures studies", "page"),
    "web": ("folders options packages wanted", "access one_model", "uploads", "runs", "line views visitors", "wording",
            "page", "server"),
    "cli": ("messages signals values", "file_options options sharing_options",
            ("bench_view build_engine compare doctor engines evaluate export info models recipes report run_report "
             "result_options server_option train triton_repository verify web"),
            "bench progress tune_view", "running", "upscale", "tune"),
}
"""Package to its layers, lowest first. A package's own `__init__` is the top one: it collects what the others offer."""

TOP = "__init__"


def layer_of(package: str) -> dict[str, int]:
    """File within the package, without suffix, to the number of its layer."""
    return {file: number for number, layer in enumerate((*LAYERS[package], TOP)) for file in layer.split()}


def test_every_file_of_every_package_has_its_layer(repository: Path) -> None:
    found = {package: {source.name.removeprefix(f"{package}/") for source in package_sources(repository)
                       if source.name.startswith(f"{package}/")} for package in LAYERS}
    assert found == {package: set(layer_of(package)) for package in LAYERS}


def test_a_package_without_layers_is_a_single_file(repository: Path) -> None:
    folders = {path.parent.name for path in (repository / PACKAGE).glob("*/__init__.py")}
    assert folders == set(LAYERS)


def test_a_file_imports_only_from_earlier_layers_of_its_package(repository: Path) -> None:
    wrong = []
    for source in package_sources(repository):
        package, _, file = source.name.partition("/")
        if package not in LAYERS:
            continue
        layers = layer_of(package)
        for found in imports_of(source):
            imported = "/".join(found.module.split(".")[2:]) if found.module.startswith(f"{PACKAGE}.{package}.") else ""
            imported = imported if imported in layers else f"{imported}/{TOP}"
            if imported in layers and imported != file and layers[imported] >= layers[file]:
                wrong.append(f"{found.place} imports {found.module}")
    assert wrong == []
