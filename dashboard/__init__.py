"""Shows: the doors of the system, Streamlit pages and the REST API beside them."""
