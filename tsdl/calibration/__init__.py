"""Constants of a scenario, fitted to measured runs, and how well they are then known."""

from tsdl.calibration.calibration import Calibration as Calibration
from tsdl.calibration.calibration import calibrate as calibrate
from tsdl.calibration.fit import NoScipy as NoScipy
