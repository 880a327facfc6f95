"""Training: a recipe and a folder of pictures in, a safetensors file that knows where it comes from out."""
