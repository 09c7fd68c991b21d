"""Show the lake to people: a map, a page for each station and river, the warnings, the state of the lake, the API.

`routes` answers requests. What the pages show is put together in `overview` (all stations), `finding` (search),
`station`, `river`, `warned` and `state`; `chart` and `outline` draw, `words` and `render` put it into words and HTML.
`static` serves scripts and styles. Pages work without script; with it the map moves and charts can be read off.
"""
