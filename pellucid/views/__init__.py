"""What people look at: terminal, notebook and page."""
