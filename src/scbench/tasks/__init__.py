"""Tasks: how a session (one long context and its questions) is made, one module per task."""
