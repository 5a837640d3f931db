"""What nibabel and SimpleITK write and see, for peers_test.go.

peers.py make DIR          writes test files into DIR and describes them
peers.py describe FILE...  describes files that others wrote

A description is one JSON object: file name -> what each of the two libraries
says about it. Arrays are float32 values in (z, y, x) order, x fastest.
"""

import itertools
import json
import os
import struct
import sys
import warnings

import nibabel as nib
import numpy as np
import SimpleITK as sitk

warnings.simplefilter("ignore")
sitk.ProcessObject.SetGlobalWarningDisplay(False)
SHAPE = (5, 4, 3)  # (i, j, k)
SPACING = (0.7, 0.8, 2.5)
TURNS = [(0, 0, 0), (0.21, 0, 0), (0.1, -0.2, 0.3), (-0.35, 0.3, 0.2)]
TYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


def affines():
    """All 48 axis orders under every turn, as affines in RAS."""
    for turn in TURNS:
        for order in itertools.permutations(range(3)):
            for signs in itertools.product((1, -1), repeat=3):
                rotation = np.zeros((3, 3))
                for column, axis in enumerate(order):
                    rotation[axis, column] = signs[column]
                affine = np.eye(4)
                affine[:3, :3] = nib.eulerangles.euler2mat(*turn) @ rotation @ np.diag(SPACING)
                affine[:3, 3] = (-120.25, 80.5, 1000.125)
                yield affine


def values(kind):
    rng = np.random.default_rng(5)
    if np.dtype(kind).kind == "f":
        return rng.normal(0, 1000, SHAPE).astype(kind)
    low = 0 if np.dtype(kind).kind == "u" else -100
    return rng.integers(low, 127, SHAPE).astype(kind)


def make_nibabel(folder):
    axes = list(affines())
    turns = itertools.cycle(axes[::7])
    for version, image in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        for order in "<>":
            header = image.header_class(endianness=order)
            for kind in TYPES:
                data = values(kind)
                header.set_data_dtype(np.dtype(kind).newbyteorder(order))
                img = image(data, next(turns), header, dtype=kind)
                nib.save(img, f"{folder}/type_{version}{'lb'['<>'.index(order)]}_{kind}.nii")
            for slope, inter in ((0.5, -1024), (2, 7), (0.001, 0.1)):
                header.set_data_dtype("i2")
                img = image(values("int16"), next(turns), header)  # raw voxels: nibabel stores them as they are
                img.header.set_slope_inter(slope, inter)
                nib.save(img, f"{folder}/scale_{version}{'lb'['<>'.index(order)]}_{slope}.nii.gz")
    for n, affine in enumerate(axes):
        img = nib.Nifti1Image(values("int16"), affine)
        if n % 3 == 0:  # qform only
            img.set_sform(None, 0)
            img.set_qform(affine, 1)
        elif n % 3 == 1:  # both
            img.set_sform(affine, 2)
            img.set_qform(affine, 1)
        nib.save(img, f"{folder}/axes_{n:03}.nii.gz")


def make_odd(folder):
    """Headers about which tools could differ; the names say how."""
    affine = list(affines())[100]
    img = nib.Nifti1Image(values("int16")[..., None], affine)
    nib.save(img, f"{folder}/odd_4d.nii.gz")
    img = nib.Nifti1Image(values("int16"), affine)
    img.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a comment " * 30))
    nib.save(img, f"{folder}/odd_extension.nii.gz")
    img = nib.Nifti1Image(values("int16"), affine)
    other = affine.copy()
    other[:3, 3] += 50
    img.set_sform(affine, 1)
    img.set_qform(other, 1)
    nib.save(img, f"{folder}/odd_disagree.nii")
    img = nib.Nifti1Image(values("int16"), None)
    img.header.set_zooms(SPACING)
    img.set_sform(None, 0)
    img.set_qform(None, 0)
    nib.save(img, f"{folder}/odd_nocodes.nii")
    for name, code in (("metre", 1), ("micron", 3), ("unknown", 0)):
        img = nib.Nifti1Image(values("int16"), affine)
        img.header["xyzt_units"] = code
        nib.save(img, f"{folder}/odd_{name}.nii")
    # ITK's limit on skew lies between these two.
    for name, cosine in (("odd_skew", 0.9e-4), ("refused_skew", 1.5e-4)):
        skewed = np.diag(SPACING + (1,))
        skewed[0, 1] = cosine * SPACING[1]
        img = nib.Nifti1Image(values("int16"), None)
        img.header.set_zooms(SPACING)
        img.set_qform(None, 0)
        img.set_sform(skewed, 1)
        nib.save(img, f"{folder}/{name}.nii")
    # nibabel repairs slope 0 on saving, so it is patched into the file.
    path = f"{folder}/odd_slope0.nii"
    nib.save(nib.Nifti1Image(values("int16"), affine), path)
    with open(path, "r+b") as f:
        f.seek(112)
        f.write(struct.pack("<ff", 0, 0))


def make_itk(folder):
    turns = itertools.cycle(list(affines())[::11])
    for kind in TYPES:
        for ending in ("nii", "nii.gz"):
            img = sitk.GetImageFromArray(np.ascontiguousarray(values(kind).T))
            affine = np.diag([-1, -1, 1, 1]) @ next(turns)
            img.SetSpacing(SPACING)
            img.SetOrigin(affine[:3, 3].tolist())
            img.SetDirection((affine[:3, :3] / SPACING).ravel().tolist())
            sitk.WriteImage(img, f"{folder}/itk_{kind}.{ending}")


def describe(path):
    return {"nibabel": describe_nibabel(path), "itk": describe_itk(path)}


def flat(array):
    return np.asarray(array).astype(np.float32).astype(float).ravel().tolist()


def describe_nibabel(path):
    img = nib.load(path)
    if img.ndim > 3:
        img = img.slicer[..., 0]
    near = nib.as_closest_canonical(img)
    header = img.header
    return {
        "affine": img.affine[:3].tolist(),
        "values": flat(img.get_fdata().T),
        "canonical_affine": near.affine[:3].tolist(),
        "canonical_values": flat(near.get_fdata().T),
        "qform": header.get_qform()[:3].tolist(),
        "codes": [int(header["qform_code"]), int(header["sform_code"])],
        "dtype": img.get_data_dtype().name,
        "version": 2 if isinstance(header, nib.Nifti2Header) else 1,
    }


def describe_itk(path):
    try:
        img = sitk.ReadImage(path)
    except RuntimeError:
        return None  # refused, as ITK does with NIfTI-2
    return {
        "spacing": img.GetSpacing(),
        "origin": img.GetOrigin(),
        "direction": np.reshape(img.GetDirection(), (3, 3)).tolist(),
        "values": flat(sitk.GetArrayFromImage(img)),
    }


def main():
    if sys.argv[1] == "make":
        folder = sys.argv[2]
        make_nibabel(folder)
        make_odd(folder)
        make_itk(folder)
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    else:
        paths = sys.argv[2:]
    json.dump({os.path.basename(p): describe(p) for p in paths}, sys.stdout)


main()
