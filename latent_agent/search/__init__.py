"""LatentSeek and its rivals: policy gradient on the first latents; torch only."""
