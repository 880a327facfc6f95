"""Make src/restauro/metrics/niqe_restauro1.json: what NIQE takes for natural.

    python tools/fit_niqe.py FOLDER...       # photographs that may be used freely, lossless or downsized by two and
    more

The file holds the mean and covariance of the features, the number of pictures, and a digest over their names and
bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from restauro.metrics.matching import digest, pictures_in
from restauro.metrics.niqe import MODEL_FILE, fit
from restauro.picture import read

TARGET = Path(__file__).resolve().parents[1] / "src" / "restauro" / "metrics" / MODEL_FILE


def main() -> None:
    """Read the folders, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    folders = parser.parse_args().folders
    paths = {f"{folder.name}/{name}": path for folder in folders for name, path in pictures_in(folder).items()}
    ordered = [paths[name] for name in sorted(paths)]
    model = fit(torch.from_numpy(read(path).rgb()).clamp(0, 1).permute(2, 0, 1)[None] for path in ordered)
    content = {
        "made by": "tools/fit_niqe.py " + " ".join(folder.name for folder in folders),
        "pictures": len(paths),
        "pictures sha256": digest(paths),
        "mean": [float(f"{value:.9g}") for value in model.mean],
        "covariance": [[float(f"{value:.9g}") for value in row] for row in model.covariance],
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    TARGET.write_text("{\n" + ",\n".join(lines).replace("], [", "],\n  [") + "\n}\n")
    print(f"{TARGET.name}: {len(paths)} pictures")


if __name__ == "__main__":
    main()
