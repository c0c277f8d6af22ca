"""The web server around the pages: who may connect, what is answered, downloads."""
