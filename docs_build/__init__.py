"""What the site is built with, besides MkDocs and its plugins."""
