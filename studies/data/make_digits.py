"""Write ``digits.csv.gz`` from the copy of the data set that scikit-learn ships.

The same bytes come out every time: no file name and no time stamp go into the gzip header. Run it
from anywhere; it writes next to itself and prints the digest, which ``README.md`` states.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path

from sklearn.datasets import load_digits

TARGET = Path(__file__).with_name("digits.csv.gz")


def digits_csv() -> str:
    """The table as text: 64 pixels row by row (integers 0 to 16), then the digit drawn."""
    digits = load_digits()
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    lines = [",".join([*names, "digit"])]
    for pixels, digit in zip(digits.data.astype(int), digits.target, strict=True):
        lines.append(",".join(map(str, [*pixels, digit])))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file and print its digest."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(digits_csv().encode("ascii"))
    TARGET.write_bytes(packed.getvalue())
    print(f"{hashlib.sha256(packed.getvalue()).hexdigest()}  {TARGET.name}")


if __name__ == "__main__":
    main()
