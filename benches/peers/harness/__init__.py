"""Times LynxStore and other systems side by side on the same data, and compares their rows."""
