"""One module a vendor. Registering one here is all that serving it takes."""

from __future__ import annotations

from gateway.apis.vendor import Vendor
from gateway.apis.vendors import ailabtools, arsa, compreface, coqnitics, machinesense, scaleflex

VENDORS: tuple[Vendor, ...] = (
    arsa.VENDOR,
    machinesense.VENDOR,
    ailabtools.VENDOR,
    scaleflex.VENDOR,
    coqnitics.VENDOR,
    compreface.VENDOR,
)


def vendor_of(path: str) -> Vendor | None:
    """Whose path this is: of several prefixes that fit, the longest."""
    owners = [(len(prefix), vendor) for vendor in VENDORS for prefix in vendor.prefixes if path.startswith(prefix)]
    return max(owners, key=lambda owner: owner[0], default=(0, None))[1]
