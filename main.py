"""LVD Live's command line in a checkout: `python main.py --camera 0`; an installed program calls it lvd-live."""

from lvd_live.cli import run

if __name__ == "__main__":
    run()
