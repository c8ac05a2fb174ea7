"""The course: what its tutorials call, and what runs, prints and publishes them."""

from tinygradrnn.course.showing import show

__all__ = ["show"]
