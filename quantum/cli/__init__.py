"""The `quantum` command: click, one file per command, each imported when it is called."""
