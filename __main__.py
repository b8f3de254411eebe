"""`python -m taxiphone` is the command `taxiphone`."""

from taxiphone.cli import main

if __name__ == "__main__":
    main()
