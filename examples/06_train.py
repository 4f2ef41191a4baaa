"""Train the live network for 20 steps on 32 synthetic people: python examples/06_train.py runs/example"""

import sys
from pathlib import Path

import torch

from lvd_live.lvd.presets import PRESETS
from lvd_live.lvd.weights import save_weights
from lvd_live.paths import MODELS
from lvd_live.synth.dataset import ShardMaker, Shards, shard_path, write_shard
from lvd_live.train.loop import train
from lvd_live.train.networks import importance_of, network_for, read_body
from lvd_live.train.options import TrainingOptions
from lvd_live.train.task import DESCENT

if len(sys.argv) != 2:
    sys.exit(__doc__)
out = Path(sys.argv[1])
data = out / "data"
data.mkdir(parents=True, exist_ok=True)
write_shard(shard_path(data, 0), ShardMaker(MODELS, 96).make(0, identities=2))  # two people, 16 poses each
shards = Shards.open(data)  # a real run validates on other people

body = read_body(MODELS)
network, average = (network_for(PRESETS["live"], body) for _ in range(2))
importance = importance_of(body, len(network.control))
options = TrainingOptions(steps=20, batch=4, sizes=((1.0, 64),), validate_every=100)
cpu = torch.device("cpu")
train(network, average, shards, shards, importance, out, options, task=DESCENT, device=cpu, workers=[])
save_weights(average, out / "live.safetensors", {"steps": options.steps})
print(f"weights are in {out / 'live.safetensors'}")
