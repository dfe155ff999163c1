"""Exports a random T5 of a published geometry to ONNX and quantises it as transformers.js does for
`dtype: "q8"`: 8-bit signed weights, one scale per channel, 7 bits of range.

    export_onnx.py GEOMETRY FOLDER
"""

import sys
import tempfile
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx import main_export
from torch_runner import random_model

GRAPHS = ["encoder_model", "decoder_model_merged"]


def export(geometry, folder):
    with tempfile.TemporaryDirectory() as work:
        checkpoint, exported = Path(work, "checkpoint"), Path(work, "onnx")
        random_model(geometry).save_pretrained(checkpoint)
        main_export(
            checkpoint, exported, task="text2text-generation-with-past",
            library_name="transformers", do_validation=False,
        )
        (folder / "onnx").mkdir(parents=True, exist_ok=True)
        for name in ["config.json", "generation_config.json"]:
            (folder / name).write_bytes((exported / name).read_bytes())
        for graph in GRAPHS:
            quantize_dynamic(
                exported / f"{graph}.onnx",
                folder / "onnx" / f"{graph}_quantized.onnx",
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
            )


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]))
