"""Compares the answers that stand in `testdata/slt` with those of DuckDB; see docs/testing.md."""
