"""Models: where their files come from, what identifies them, how they are loaded."""
