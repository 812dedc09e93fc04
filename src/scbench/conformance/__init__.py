"""The conformance kit: what every method must satisfy in the engine (`scbench check-method`)."""
