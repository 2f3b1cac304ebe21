"""Writes the official files of CIFAR-100 from a copy whose images are JPEG files packed into two .npz files. Needs Pillow.

    python tools/convert_cifar100.py PACKED DATA/cifar100

PACKED has cifar100_train_jpeg.npz and cifar100_test_jpeg.npz, each with the arrays jpeg (all files, one after the other), offsets,
labels, coarse_labels, classes and coarse_classes. Written are cifar-100-python/train, test and meta, which `lifelong` finds when
LIFELONG_DATA is DATA. JPEG is lossy: the images are close to the official ones, and the files' checksums are not theirs.
"""

import io
import pickle
import sys
from pathlib import Path

import numpy as np
from PIL import Image

PIXELS = 3 * 32 * 32


def main(packed: str, target: str) -> None:
    folder = Path(target) / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        with np.load(Path(packed) / f"cifar100_{part}_jpeg.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        jpeg, offsets = arrays["jpeg"].tobytes(), arrays["offsets"].tolist()
        data = np.empty((len(offsets) - 1, PIXELS), dtype=np.uint8)
        for row, start, end in zip(data, offsets, offsets[1:], strict=False):
            with Image.open(io.BytesIO(jpeg[start:end])) as image:
                row[:] = np.array(image).transpose(2, 0, 1).reshape(-1)
        table = {
            "filenames": [f"{part}_{number:05}.png" for number in range(len(data))],
            "batch_label": f"{part} batch 1 of 1",
            "fine_labels": arrays["labels"].tolist(),
            "coarse_labels": arrays["coarse_labels"].tolist(),
            "data": data,
        }
        (folder / part).write_bytes(pickle.dumps(table, protocol=2))
        names = {"fine_label_names": arrays["classes"].tolist(), "coarse_label_names": arrays["coarse_classes"].tolist()}
        (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
        mean, deviation = (data.reshape(-1, 3, 1024) / 255).mean((0, 2)), (data.reshape(-1, 3, 1024) / 255).std((0, 2))
        print(f"{folder / part}: {len(data)} images, mean {mean.round(4)}, standard deviation {deviation.round(4)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
