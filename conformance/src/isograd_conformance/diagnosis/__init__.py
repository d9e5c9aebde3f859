"""Where a backend parts from the reference: the first node, a hint, a script that shows it."""

from isograd_conformance.diagnosis.hints import hint
from isograd_conformance.diagnosis.localise import Parting, first_parting
from isograd_conformance.diagnosis.report import Diagnosis, diagnose
from isograd_conformance.diagnosis.script import as_script

__all__ = ["Diagnosis", "Parting", "as_script", "diagnose", "first_parting", "hint"]
