"""What static models do beside pooling: words and their parts, windows of long texts, neighbours, files."""
