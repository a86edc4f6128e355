"""Looking at recordings: what each was like beside the others, and a page that shows them."""
