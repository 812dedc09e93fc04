"""Scripts that run in other interpreters than scbench's, and import nothing of it."""
