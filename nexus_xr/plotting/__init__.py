"""What is seen of data at first: as a picture, and in the letters of a terminal."""
