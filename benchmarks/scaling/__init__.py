"""Parts of the benchmark `scale`: sessions, servers, and the page that its numbers go into."""
