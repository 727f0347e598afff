"""``python -m trialbook``: the command line."""

from trialbook.cli.main import main

if __name__ == "__main__":
    main()
