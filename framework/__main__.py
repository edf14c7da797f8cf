"""``python -m bfmkit``: the command line."""

from bfmkit.cli import main

raise SystemExit(main())
