"""What OpenCV 4's own Darknet importer makes of a model, on pictures of its size.

Runs in an environment of its own (opencv-python-headless 4.x and NumPy) and imports
nothing of ImageBase.

    python opencv4_heads.py PICTURES.npy MODEL_FOLDER OUTPUT.npz
"""

import sys
from pathlib import Path
from typing import Any

import cv2  # OpenCV 4 here, whatever the other modules have
import numpy as np


def main() -> None:
    pictures, model, output = (Path(path) for path in sys.argv[1:4])
    opencv4: Any = cv2
    net = opencv4.dnn.readNetFromDarknet(
        str(model / "obj.cfg"), str(model / "obj.weights")
    )
    names = net.getUnconnectedOutLayersNames()
    rows = []
    for number, rgb in enumerate(np.load(pictures, mmap_mode="r")):
        net.setInput(opencv4.dnn.blobFromImage(np.asarray(rgb), 1 / 255))
        found = np.concatenate(net.forward(names))
        place, label = np.nonzero(found[:, 5:] > 0)
        boxes, confidence = found[place, :4], found[place, 5 + label]
        image = np.full(len(place), number)
        rows.append(np.column_stack([image, label, confidence, boxes]))
    np.savez(output, rows=np.concatenate(rows), version=cv2.__version__)


if __name__ == "__main__":
    main()
