"""Pictures as such: reading a source picture, the I420 format, the "AI-generated" badge."""
