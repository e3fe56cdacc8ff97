"""The filters that chunks go through: decoding, decoding a part, encoding, and many small chunks at once."""
