"""The pages that come with the dashboard, one module each."""
