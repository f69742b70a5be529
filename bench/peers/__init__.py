"""Who is measured: one module for each peer, all with the same face."""
