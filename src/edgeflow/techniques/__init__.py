"""Training-time techniques, for models of PyTorch and for every runtime alike."""
