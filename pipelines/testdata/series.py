"""What SimpleITK (GDCM) says about a DICOM series and its labels, for series_test.go.

series.py convert DIR FILE            the series of a folder as a NIfTI file
series.py check DIR LABELS CONVERTED  whether labels lie on the series' voxels, and are those of its NIfTI file
"""

import glob
import itertools
import os
import sys

import numpy as np
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def series(place):
    (folder,) = {os.path.dirname(f) for f in glob.glob(place + "/**/*.dcm", recursive=True)}
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return reader.Execute()


def farthest(a, b):
    return np.abs(np.subtract(a, b)).max()


def check(scan, labels, converted):
    size, values = scan.GetSize(), sitk.GetArrayFromImage(labels)
    of = {name: farthest(getattr(scan, "Get" + name)(), getattr(labels, "Get" + name)()) for name in ("Spacing", "Direction", "Origin")}
    corners = [[int(i) for i in c] for c in itertools.product(*((0, n - 1) for n in size))]
    apart = max(farthest(scan.TransformIndexToPhysicalPoint(c), labels.TransformIndexToPhysicalPoint(c)) for c in corners)
    same = np.array_equal(values, sitk.GetArrayFromImage(converted))
    print(f"size {labels.GetSize()} of {size}, most that differs:", ", ".join(f"{name.lower()} {d:.2g}" for name, d in of.items()), f"and corners {apart:.2g} mm")
    print(f"labels {np.unique(values).tolist()}, {np.count_nonzero(values)} voxels of foreground; of the converted series the same: {same}")
    assert labels.GetSize() == size, "the size differs"
    assert of["Spacing"] < 1e-6 and of["Direction"] < 1e-6 and of["Origin"] < 1e-5 and apart < 1e-5, "the grid differs"
    assert same, "labels of the converted series differ"
    assert np.unique(values).size > 2, "the labels show nothing"


if sys.argv[1] == "convert":
    sitk.WriteImage(series(sys.argv[2]), sys.argv[3])
else:
    check(series(sys.argv[2]), *map(sitk.ReadImage, sys.argv[3:]))
