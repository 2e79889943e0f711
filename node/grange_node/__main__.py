"""`python -m grange_node`: the same as `grange farm`, without the renter's commands around it."""

from grange_node.cli.farm import app

if __name__ == "__main__":
    app()
