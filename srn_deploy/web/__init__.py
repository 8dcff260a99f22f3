"""A local page: drop pictures, choose, see before and after, download the files that the command line would write.

`line` works on one run at a time with the one model that is loaded; `visitors` knows the open tabs and removes their
files; `page` lays it out with Gradio, and `server` serves it. Gradio is imported by the last two alone.
"""

from __future__ import annotations
