"""The peer: OpenCV 4's own Darknet importer, net loaded once, a folder to a COCO file.

Runs in an environment of its own (opencv-python-headless 4.x and NumPy) and imports
nothing of ImageBase. Prints one line of JSON.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2  # OpenCV 4 here, whatever the other modules have


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--confidence", type=float, default=0.25)
    parser.add_argument("--nms", type=float, default=0.45)
    arguments = parser.parse_args()
    print(json.dumps(label_folder(arguments)))


def label_folder(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label every JPEG of a folder; the clock starts once the net has run once."""
    opencv4: Any = cv2
    net = opencv4.dnn.readNetFromDarknet(
        str(arguments.model / "obj.cfg"), str(arguments.model / "obj.weights")
    )
    model = opencv4.dnn.DetectionModel(net)
    model.setInputParams(size=(416, 416), scale=1 / 255, swapRB=True)
    paths = sorted(arguments.images.glob("*.jpg"))
    model.detect(opencv4.imread(str(paths[0])), arguments.confidence, arguments.nms)
    started = time.perf_counter()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, path in enumerate(paths, start=1):
        picture = opencv4.imread(str(path))
        height, width = picture.shape[:2]
        images.append(
            {"id": image_id, "file_name": path.name, "width": width, "height": height}
        )
        found = model.detect(picture, arguments.confidence, arguments.nms)
        for class_id, confidence, box in zip(*found, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(class_id) + 1,
                    "bbox": [int(edge) for edge in box],
                    "score": float(confidence),
                }
            )
    document = {"images": images, "annotations": annotations, "categories": []}
    arguments.output.write_text(json.dumps(document))
    seconds = time.perf_counter() - started
    return {
        "program": f"OpenCV {cv2.__version__}",
        "images": len(images),
        "boxes": len(annotations),
        "seconds": seconds,
        "images_per_second": len(images) / seconds,
    }


if __name__ == "__main__":
    main()
