"""What the documents are generated from, so that `python -m docs.render_cli` finds it."""
