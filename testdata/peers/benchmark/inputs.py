"""What the rows of whole cases read: a phantom, a prediction of it, a network's output, a real CT. Made once, kept in the environment's folder."""
import os
import tarfile
import tempfile

import numpy as np
import SimpleITK as sitk
from children import HOME

FOLDER = HOME / 'inputs-1'  # raise the number when a file's content changes
CLASSES = 14
SPACING = (2.5, 0.8, 0.8)  # of the plan, mm (z, y, x)
SMALL = bool(os.environ.get('NOISYSTUDENT_BENCH_SMALL'))  # try things out: no row is written
SCAN, GRID = ((44, 256, 240), (44, 237, 222)) if SMALL else ((110, 512, 512), (110, 474, 474))  # the phantom, and what the network sees of it
SCAN_SPACING = (2.5, .74, .74)
MEDIAN = ((44, 256, 240) if SMALL else (114, 512, 512)), (2.5, .8, .8)  # of FLARE 2022's scans


class Skip(Exception):
    """A row cannot be measured here, and why."""


# Centre (z, y, x), radii and HU of the organs by label, in units of the field of view.
ORGANS = {
    1: ((.66, .55, .68), (.20, .17, .17), 110), 3: ((.68, .42, .27), (.12, .09, .07), 120), 11: ((.66, .60, .36), (.12, .09, .09), 50),
    2: ((.40, .36, .66), (.13, .06, .055), 160), 13: ((.44, .36, .34), (.13, .06, .055), 165), 4: ((.50, .55, .47), (.05, .035, .13), 95),
    12: ((.42, .55, .57), (.08, .05, .045), 60), 9: ((.48, .66, .64), (.06, .04, .035), 10), 10: ((.86, .47, .49), (.14, .018, .018), 45),
    7: ((.57, .40, .60), (.03, .03, .018), 70), 8: ((.60, .40, .41), (.03, .03, .018), 72), 6: ((.50, .44, .55), (.50, .024, .028), 130),
    5: ((.50, .42, .48), (.52, .026, .026), 190),
}
TISSUES = ((1, -95), (.80, 45), (.66, -80))  # of the body from the skin inwards: squared radius, HU


def phantom(shape):
    """int16 HU and uint8 labels (z, y, x) of ellipsoids in a body, with noise."""
    image, labels, noise = np.empty(shape, np.int16), np.zeros(shape, np.uint8), np.random.default_rng(1)
    z, y, x = ((np.arange(n) + .5) / n for n in shape)
    y, x = y[:, None], x[None]
    body = ((y - .5) / .32) ** 2 + ((x - .5) / .43) ** 2
    for k in range(shape[0]):
        hu = np.full(shape[1:], -1000, np.float32)
        for radius, value in TISSUES:
            hu[body < radius] = value
        hu[((y - .30) / .055) ** 2 + ((x - .5) / .05) ** 2 < 1] = 350
        for label, (centre, radii, value) in ORGANS.items():
            inside = ((z[k] - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((x - centre[2]) / radii[2]) ** 2 < 1
            labels[k][inside], hu[inside] = label, value
        image[k] = np.clip(np.rint(hu + 12 * noise.standard_normal(shape[1:], np.float32)), -1024, 3071)
    return image, labels


def case(shape=SCAN, spacing=SCAN_SPACING):
    """Files of a phantom: image, labels, and a prediction of them that is moved by a voxel or two."""
    name = 'x'.join(map(str, shape)) + '-' + 'x'.join(map(str, spacing))
    files = {part: str(FOLDER / f'{name}-{part}.nii.gz') for part in ('image', 'labels', 'prediction')}
    if not all(map(os.path.exists, files.values())):
        image, labels = phantom(shape)
        moved = np.roll(labels, (1, 2, 2), (0, 1, 2))
        for part, voxels in zip(files, (image, labels, moved)):
            scan = sitk.GetImageFromArray(voxels)
            scan.SetSpacing(spacing[::-1])
            write(scan, files[part])
    return files


def logits():
    """A network's output for the phantom: its organs, blurred as a network would, with some noise; float16, a tensor a plane."""
    path = FOLDER / f"logits-{'x'.join(map(str, GRID))}.safetensors"
    if not path.exists():
        from safetensors.numpy import save_file
        from scipy.ndimage import gaussian_filter
        labels = sitk.GetArrayFromImage(sitk.ReadImage(case()['labels']))
        labels = labels[np.ix_(*((2 * np.arange(m) + 1) * n // (2 * m) for n, m in zip(SCAN, GRID)))]
        values, noise = np.empty((GRID[0], CLASSES, *GRID[1:]), np.float16), np.random.default_rng(2)
        for c in range(CLASSES):
            values[:, c] = 8 * gaussian_filter((labels == c).astype(np.float32), (.5, 2, 2)) + .3 * noise.standard_normal(GRID, np.float32)
        save_file({f'plane_{z:03d}': plane for z, plane in enumerate(values)}, f'{path}.part')
        os.rename(f'{path}.part', path)
    return {'logits': str(path)}


def crlm():
    """The real CT of 512x512x41 voxels, from its DICOM slices to NIfTI."""
    path, folder = FOLDER / ('crlm_ct_1004-small.nii.gz' if SMALL else 'crlm_ct_1004.nii.gz'), os.environ.get('NOISYSTUDENT_CT')
    archive = os.path.join(folder or '', 'crlm_ct_1004_dicom.tar.xz')
    if not folder or not os.path.exists(archive):
        raise Skip('needs the real CT: NOISYSTUDENT_CT names the folder of crlm_ct_1004_dicom.tar.xz')
    if not path.exists():
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(archive) as slices:
            slices.extractall(scratch, filter='data')
            reader = sitk.ImageSeriesReader()
            place = next(d for d, _, files in os.walk(scratch) if len(files) > 1)
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(place))
            scan = reader.Execute()
            write(scan[128:368, 128:384, 10:30] if SMALL else scan, str(path))
    return str(path)


def write(scan, path):
    os.makedirs(FOLDER, exist_ok=True)
    sitk.WriteImage(scan, f'{path}.part.nii.gz', True)
    os.rename(f'{path}.part.nii.gz', path)
