"""Reads what the program wrote with what others wrote: h5py, pyDARNio and darn-dmap. Argument: the folder with the files.

KIND.site was made up, KIND.hdf5 is it restructured, KIND.again.site is that restructured; KIND.dmap is it as DMAP. Ends with 0 and the
word "equal" if all hold the same.
"""

import os
import sys
import warnings

import dmap
import h5py
import numpy as np
from pydarnio import BorealisConvert, BorealisRead

warnings.simplefilter("ignore")
os.chdir(sys.argv[1])
# pyDARNio loses phase codes on the way from arrays to records.
OTHERWISE = {"pulse_phase_offset"}


def differing(one, other):
    fields = set(one) ^ set(other)
    for field in set(one) & set(other) - OTHERWISE:
        a, b = np.asarray(one[field]), np.asarray(other[field])
        if a.shape != b.shape or not (a == b).all():
            fields.add(field)
    return fields - OTHERWISE


for kind in ("rawacf", "bfiq", "antennas_iq"):
    site = BorealisRead(f"{kind}.site", kind, "site").records
    for name, layout in ((f"{kind}.hdf5", "array"), (f"{kind}.again.site", "site")):
        found = BorealisRead(name, kind, layout).records
        assert list(found) == list(site), f"{name}: other records"
        for record in site:
            fields = differing(site[record], found[record])
            assert not fields, f"{name}: record {record}: {sorted(fields)}"
    with h5py.File(f"{kind}.hdf5") as array:
        for field in array:
            array[field][...]
        assert len(array["num_sequences"]) == len(site)

for kind, read in (("rawacf", dmap.read_rawacf), ("bfiq", dmap.read_iqdat)):
    records = read(f"{kind}.dmap", mode="strict")
    BorealisConvert(f"{kind}.site", kind, f"{kind}.peer", borealis_file_structure="site")
    with open(f"{kind}.dmap", "rb") as ours, open(f"{kind}.peer", "rb") as theirs:
        assert ours.read() == theirs.read(), f"{kind}: pyDARNio converts it otherwise"
    assert len(records) == len(BorealisRead(f"{kind}.site", kind, "site").records)
print("equal")
