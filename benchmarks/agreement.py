"""Full YOLOv2, v3 and v4 with random weights: do we compute what OpenCV 4.14 does?

The nets are written from their published structure, converted by ImageBase and run in
OpenVINO in f32; the peer is OpenCV's own Darknet importer, in an environment of its
own. What is compared is what the last convolution before each head gives, before
decoding; differences are against the largest value.

    python -m benchmarks.agreement [--side 96]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.throughput import peer_python
from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.darknet.layers import Convolution, Network
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.runtime import load_runtime
from tests.detection.onnx.published_nets import PUBLISHED_NETS

ALLOWED: Final = 1e-3
_HEADER: Final = np.array([0, 2, 5, 0, 0], "<i4").tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=96)
    arguments = parser.parse_args()
    print("| net | weights | heads | largest difference |")
    print("|---|---|---|---|")
    worst = 0.0
    for name, write in PUBLISHED_NETS.items():
        cfg = write(arguments.side)
        network = plan_network(parse_cfg(cfg), input_size=None)
        difference = compare(cfg, network)
        worst = max(worst, difference)
        print(
            f"| {name} | {network.weights:,} | {len(network.heads)} | "
            f"{difference:.1e} |",
            flush=True,
        )
    sys.exit(worst > ALLOWED)


def compare(cfg: bytes, network: Network) -> float:
    """Return the largest difference of any head, against its largest value."""
    weights = random_weights(network)
    side = network.size.width
    blob = np.random.default_rng(1).random((1, 3, side, side), dtype=np.float32)
    names = [head.name for head in network.heads]
    onnx = darknet_to_onnx(cfg, weights)
    runtime = load_runtime(onnx, outputs=names, runtime="openvino", precision="f32")
    ours = runtime.run(blob)
    theirs = peer_outputs(cfg, weights, blob, names)
    return max(
        float(np.abs(a - b).max() / np.abs(b).max())
        for a, b in zip(ours, theirs, strict=True)
    )


def random_weights(network: Network) -> bytes:
    """Return weights that keep the values of every layer of one order (He, 2015)."""
    rng = np.random.default_rng(0)
    parts = [_HEADER]
    for layer in network.layers:
        if not isinstance(layer, Convolution):
            continue
        filters, inner, side, _ = layer.kernel_shape
        parts.append(_floats(rng.normal(0, 0.1, filters)))
        if layer.batch_normalize:
            parts.append(_floats(rng.uniform(0.8, 1.2, filters)))
            parts.append(_floats(rng.normal(0, 0.1, filters)))
            parts.append(_floats(rng.uniform(0.8, 1.2, filters)))
        spread = np.sqrt(2 / (inner * side**2))
        count = filters * inner * side**2
        kernel = rng.standard_normal(count, dtype=np.float32) * np.float32(spread)
        parts.append(kernel.tobytes())
    return b"".join(parts)


def _floats(values: NDArray[np.float64]) -> bytes:
    return values.astype("<f4").tobytes()


def peer_outputs(
    cfg: bytes, weights: bytes, blob: NDArray[np.float32], heads: list[str]
) -> list[NDArray[np.float32]]:
    """Return what OpenCV 4 gives for the convolution before each head."""
    # A head is named by its layer, OpenCV's convolutions too.
    layers = [f"conv_{int(name.removeprefix('head_')) - 1}" for name in heads]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("cfg", "weights", "blob.npy")}
        paths["cfg"].write_bytes(cfg)
        paths["weights"].write_bytes(weights)
        np.save(paths["blob.npy"], blob)
        out = Path(folder) / "out.npz"
        script = Path(__file__).with_name("opencv4_outputs.py")
        command = [peer_python(), script, *paths.values(), out, *layers]
        subprocess.run(
            [str(argument) for argument in command], check=True, capture_output=True
        )
        with np.load(out) as found:
            return [found[layer] for layer in layers]


if __name__ == "__main__":
    main()
