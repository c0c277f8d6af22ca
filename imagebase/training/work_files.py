"""What lies in the folder that a training works in."""

from typing import Final

PLAN: Final = "plan.json"
SET: Final = "set.json"
PICTURES: Final = "pictures.u8"
LOG: Final = "log.jsonl"
CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.weights"
# A folder: the model to begin from, which may be renamed or deleted meanwhile.
BASE: Final = "base"
# How another process asks for something, and what it is told.
FINISH: Final = "finish"
STOP: Final = "stop"
ERROR: Final = "error.json"
# What went wrong that nobody foresaw, for the server's log.
ERRORS: Final = "errors.txt"
# Exit codes: told to stop; no room even for the file that says so.
STOPPED_CODE: Final = 3
FULL_CODE: Final = 4

# What only a training that is to go on needs.
FOR_GOING_ON: Final = (PICTURES, SET, CHECKPOINT, BEST, FINISH, STOP)
