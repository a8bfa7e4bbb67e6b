"""Benchmarks of the hub, each beside a reference that is measured in the same run. See benchmarks/README.md."""
