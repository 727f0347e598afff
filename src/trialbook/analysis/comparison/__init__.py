"""Several studies side by side: what was asked of each, how far each came, what a test may say."""
