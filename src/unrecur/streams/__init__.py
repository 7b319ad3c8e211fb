"""Models fed block by block: one stream, many side by side, over our models and over ONNX."""
