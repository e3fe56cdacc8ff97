"""``python -m nexus_xr``: the command line where its script isn't on the path."""

from nexus_xr.cli.main import main

if __name__ == "__main__":
    main(prog_name="nexus-xr")
