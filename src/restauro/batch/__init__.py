"""One file or a million: which pictures go in, where each comes out."""
