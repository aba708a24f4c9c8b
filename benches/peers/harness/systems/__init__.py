"""The systems. Each says how it loads the files, and answers statements in a process of its own."""
