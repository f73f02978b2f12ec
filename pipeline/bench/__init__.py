"""Everything in pipeline that only measures."""
