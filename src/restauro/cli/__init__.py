"""The command ``restauro``: thin, one file per verb."""
