"""Models: what an author writes, and how the server finds and sees it."""
