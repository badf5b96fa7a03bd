"""The HTTP API and the inbox for people who answer requests. Needs the extra `server`.

Nothing of the core imports it. `application.build` makes the ASGI application.
"""
