"""Exit on import."""

import sys

sys.exit("not today")
