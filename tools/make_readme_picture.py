"""Make docs/pictures/demo.jpg, the picture on the README's first screen: the comparison that ``restauro demo`` writes.

.venv/bin/python tools/make_readme_picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import restauro as rs
from restauro.cli.demo import demo

TARGET = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "demo.jpg"


def main() -> None:
    """Run the demo in a temporary folder and keep its comparison as a JPEG."""
    with tempfile.TemporaryDirectory() as folder:
        demo(folder)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        rs.write(rs.read(Path(folder) / "comparison.png"), TARGET, quality=88, force=True)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
