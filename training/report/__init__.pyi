from .drawing import draw as draw
from .page import report as report
from .render import render_card as render_card
from .summary import Summary as Summary
from .summary import models_table as models_table
from .tables import estimates_table as estimates_table
