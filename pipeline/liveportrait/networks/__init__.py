"""The networks of LivePortrait (Guo et al., arXiv:2407.03168) as plain modules: no device, file or option in here.

Parameter names are the official ones, so a module's state dict is the official file's content.
"""
