"""`python -m grange_node.repair`: the same as `grange repair`, without the renter's commands around it."""

from grange_node.cli.repair import app

if __name__ == "__main__":
    app()
