"""What OpenCV 4's Darknet importer computes: raw outputs of a net's last convolutions.

Runs in an environment of its own (opencv-python-headless 4.x and NumPy) and imports
nothing of ImageBase.

    python opencv4_outputs.py CFG WEIGHTS BLOB.npy OUT.npz LAYER [LAYER …]
"""

import sys
from typing import Any

import cv2  # OpenCV 4 here, whatever the other modules have
import numpy as np


def main() -> None:
    cfg, weights, blob, out, *layers = sys.argv[1:]
    opencv4: Any = cv2
    net = opencv4.dnn.readNetFromDarknet(cfg, weights)
    net.setInput(np.load(blob))
    found = net.forward(layers)
    np.savez(out, **dict(zip(layers, found, strict=True)))
    print(f"OpenCV {cv2.__version__}")


if __name__ == "__main__":
    main()
