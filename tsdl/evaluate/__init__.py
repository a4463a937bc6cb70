"""Values of expressions and of declarations: everything that is known is put in."""

from tsdl.evaluate.evaluator import Evaluator, Failed
from tsdl.evaluate.values import Instance, Value

__all__ = ["Evaluator", "Failed", "Instance", "Value"]
