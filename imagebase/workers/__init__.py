"""Run what strangers' files ask for in worker processes, apart from the server."""
