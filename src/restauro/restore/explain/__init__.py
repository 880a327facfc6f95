"""What a network did to a picture, made visible: its modulation and attention maps, and what each guide contributes."""
