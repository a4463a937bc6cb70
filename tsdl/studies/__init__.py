"""Studies: a scenario run at many points, kept as they finish, and what comes of it."""

from tsdl.studies.answer import Answer
from tsdl.studies.course import Course
from tsdl.studies.points import Points, choose_study

__all__ = ["Answer", "Course", "Points", "choose_study"]
