"""Types, protocols, schemas, configuration and errors: everything that crosses a folder.

Imports only light libraries (pydantic, PyYAML, orjson) and no other folder of Weir.
"""
