"""One module a vendor. Registering one here is all that serving it takes."""

from __future__ import annotations

from gateway.apis.vendor import Vendor
from gateway.apis.vendors import ailabtools, arsa, coqnitics, machinesense, scaleflex

VENDORS: tuple[Vendor, ...] = (arsa.VENDOR, machinesense.VENDOR, ailabtools.VENDOR, scaleflex.VENDOR, coqnitics.VENDOR)


def vendor_of(path: str) -> Vendor | None:
    """Whose path this is, by prefix."""
    return next((vendor for vendor in VENDORS if vendor.owns(path)), None)
