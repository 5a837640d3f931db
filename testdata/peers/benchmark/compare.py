"""Whether both sides of a row made the same, so that none is fast and wrong: the text for people, and whether it is as it must be."""
import json

import numpy as np


def check(row, folder):
    return {'preprocess': preprocess, 'export': export, 'score': score}[row.task['work']](row, folder)


def read(folder, name, dtype):
    return (np.fromfile(f'{folder}/{side}.{name}', dtype) for side in ('ours', 'peer'))


def labels(row, ours, peer):
    if ours.shape != peer.shape:
        return f'{ours.shape} labels, the peer {peer.shape}', False
    equal = float((ours == peer).mean())
    return f'{100 * equal:.3f} % of the labels equal', equal >= row.equal and len(np.unique(peer)) > 1


def preprocess(row, folder):
    ours, peer = (v.astype(np.float64) for v in read(folder, 'image', np.float32))
    distance = float(np.linalg.norm(ours - peer) / np.linalg.norm(peer)) if ours.shape == peer.shape else np.inf
    text, good = labels(row, *read(folder, 'labels', np.uint8))
    return f'image within {distance:.0e} (relative L2), {text}', good and distance < 1e-4


def export(row, folder):
    return labels(row, *read(folder, 'labels', np.uint8))


def score(row, folder):
    ours, peer = (json.load(open(f'{folder}/{side}.scores')) for side in ('ours', 'peer'))
    worst = max(abs(a - b) for c in peer for a, b in zip(ours[c], peer[c]))
    return f'scores within {worst:.0e}', set(ours) == set(peer) and worst < 5e-5


def grid(scan):
    return scan.GetSize() + scan.GetSpacing() + scan.GetOrigin() + scan.GetDirection()


def same_grid(a, b):
    return a.GetSize() == b.GetSize() and np.allclose(grid(a), grid(b), atol=1e-3)


def scans(row, ours, peer):
    """Files of labels: the same grid, and voxels."""
    import SimpleITK as sitk
    a, b = sitk.ReadImage(ours), sitk.ReadImage(peer)
    text, good = labels(row, sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b))
    return text + ('' if same_grid(a, b) else ', on another grid'), good and same_grid(a, b)


def parts(scan, part, whole):
    """Labels of a scan of which a part was computed, and of all of it: the change of the organs' mean DSC to the phantom's own."""
    import SimpleITK as sitk
    image, truth, part, whole = map(sitk.ReadImage, (scan, scan.replace('-image', '-labels'), part, whole))
    true, some, every = map(sitk.GetArrayFromImage, (truth, part, whole))
    before, after = (100 * mean_dsc(true, found) for found in (every, some))
    text = f'mean DSC of {after:.2f} % with what is skipped and {before:.2f} % without, change {after - before:+.2f}; {100 * (some > 0).mean():.1f} and {100 * (every > 0).mean():.1f} % of the voxels an organ'
    return text, same_grid(part, image) and len(np.unique(some)) > 2


def mean_dsc(true, found):
    organs = np.unique(true[true > 0])
    return np.mean([2 * ((true == k) & (found == k)).sum() / ((true == k).sum() + (found == k).sum()) for k in organs])
