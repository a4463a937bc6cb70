"""A simulated run beside a measured one: how far apart they are."""

from tsdl.validation.comparison import Agreement as Agreement
from tsdl.validation.comparison import Row as Row
from tsdl.validation.comparison import Validation as Validation
from tsdl.validation.comparison import beside as beside
from tsdl.validation.comparison import validate as validate
from tsdl.validation.loops import of_closed_loop as of_closed_loop
