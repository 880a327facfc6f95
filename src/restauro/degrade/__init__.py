"""Laws that make pictures worse, one family per file; each states its settings and records what it drew."""
