"""Serve a lake over HTTP: `/api/v1`, pages, and the dialects that existing clients speak.

`watch` keeps a `snapshot` of the lake in memory; `asked` reads a request's parameters, `tables` answers them with Arrow
tables, `formats` encodes those, `bodies` keeps what was encoded, `http` sends it. `app` puts them together.

Nothing here writes the lake. Whatever is asked for, no answer has a row that is over a day old at that moment.
"""
