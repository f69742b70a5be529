"""The pages, one module each: a function `page` that Streamlit calls at every run."""
