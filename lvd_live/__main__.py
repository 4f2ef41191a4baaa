"""`python -m lvd_live TOOL …`: everything beside the main job, see `cli.tools`."""

from lvd_live.cli import leave
from lvd_live.cli.tools import main
from lvd_live.errors import run_cli

if __name__ == "__main__":
    leave(run_cli(main))
