"""Go's text/template, as far as users of docker's ``--format`` write it.

The language, the printing of values and the wording of errors follow the docker client.  Left
out are ``define``, ``template`` and ``block``, the functions ``call``, ``html``, ``js`` and
``urlquery``, and complex numbers.  No kept library serves: what PyPI has either runs Go or stops
at ``{{.Field}}``.

Templates are data, never code: they reach nothing but keys of mappings and items of lists, and
are bounded in nesting, in steps and in output.
"""

from ferryman.cli.gotemplate.errors import TemplateError, TemplateSyntaxError
from ferryman.cli.gotemplate.template import Template
from ferryman.cli.gotemplate.value import Map, Struct

__all__ = ["Map", "Struct", "Template", "TemplateError", "TemplateSyntaxError"]
