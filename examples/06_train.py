"""Train the live network for 20 steps on synthetic people: python examples/06_train.py runs/example"""

import sys
from pathlib import Path

from lvd_live.train import cli

out = Path(sys.argv[1])
cli.main(
    ["--out", str(out), "--data", str(out / "data"), "--shards", "1", "--steps", "20", "--batch", "4"]
    + ["--sizes", "1:64", "--validate-every", "1000"]
)
print(f"weights are in {out / 'live.safetensors'}")
