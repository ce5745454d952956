"""Print the studio's OpenAPI description, of which ``npm run types`` makes the page's types."""

import json
import sys

from apiece.serve import Guard, new_app
from apiece.serve.studio.decide_routes import DECIDE
from apiece.serve.studio.review_routes import REVIEW
from apiece.serve.studio.routes import ROUTER

json.dump(new_app("apiece studio", Guard(), [ROUTER, REVIEW, DECIDE]).openapi(), sys.stdout)
