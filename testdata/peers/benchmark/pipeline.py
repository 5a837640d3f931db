"""nnU-Net's and surface-distance's side of preparing, exporting and scoring a case. Each gives what to run and what to save of its last result."""
import json
import os

import model
import numpy as np
from inputs import CLASSES

TOLERANCE_MM = dict(enumerate((5, 3, 3, 5, 2, 2, 2, 2, 2, 3, 5, 7, 3), 1))  # FLARE's, by label
TUBULAR = 5, 6, 10  # FLARE scores their labelled slices only


def leave(task, name, array):
    array.tofile(os.path.join(task['folder'], 'peer.' + name))


def preprocess(task):
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    plans, configuration, _ = model.managers(task)
    preprocessor, folder = DefaultPreprocessor(verbose=False), os.path.join(task['folder'], 'nnunet')
    os.makedirs(folder)

    def run():
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        preprocessor.run_case_save(os.path.join(folder, 'case'), [task['image']], task['labels'], plans, configuration, model.DATASET)

    def save():
        image, labels, *_ = nnUNetDatasetBlosc2(folder, ['case']).load_case('case')
        leave(task, 'image', np.asarray(image[0], np.float32))
        leave(task, 'labels', np.asarray(labels[0]).clip(0).astype(np.uint8))
    return run, save


def export(task):
    import torch
    from safetensors.torch import load_file
    planes, result = load_file(task['logits']), []
    logits = torch.stack([planes.pop(name) for name in sorted(planes)], 1)
    way = {'probabilities': nnunet_export, 'labels': paper_export}[task['way']](task)

    def run():
        result[:] = [way(logits)]
    return run, lambda: leave(task, 'labels', result[0].astype(np.uint8))


def nnunet_export(task):
    """Logits are resampled, then comes the arg-max."""
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape as convert
    plans, configuration, labels = model.managers(task)
    scan, grid = task['scan'], task['grid']
    properties = {
        'spacing': [s * g / n for s, g, n in zip(configuration.spacing, grid, scan)], 'shape_before_cropping': scan,
        'shape_after_cropping_and_before_resampling': scan, 'bbox_used_for_cropping': [[0, n] for n in scan],
    }
    return lambda logits: convert(logits, plans, configuration, labels, properties, num_threads_torch=task['threads'])


def paper_export(task):
    """The arg-max comes first, then each voxel of the scan takes the nearest label, in numpy."""
    import torch
    nearest = np.ix_(*((2 * np.arange(n) + 1) * g // (2 * n) for n, g in zip(task['scan'], task['grid'])))
    return lambda logits: logits.argmax(0).to(torch.uint8).numpy()[nearest]


def score(task):
    np.Inf = np.inf  # which surface-distance 0.1 still asks NumPy for
    way, result = {'arrays': arrays, 'files': files}[task['way']](task), {}

    def save():
        with open(os.path.join(task['folder'], 'peer.scores'), 'w') as file:
            json.dump(result, file)
    return lambda: result.update(way()), save


def arrays(task):
    """DSC and NSD of every organ over the whole volume, in memory."""
    import SimpleITK as sitk
    image = sitk.ReadImage(task['labels'])
    spacing, reference, prediction = image.GetSpacing()[::-1], *(sitk.GetArrayFromImage(sitk.ReadImage(task[k])) for k in ('labels', 'prediction'))
    return lambda: {c: organ(reference == c, prediction == c, spacing, TOLERANCE_MM[c]) for c in range(1, CLASSES)}


def files(task):
    """What FLARE 2022's script does, with surface-distance, whose functions it carries in an older form: read by nibabel as
    float64, axes (x, y, z); organs that are absent in both score 1, in the reference alone 0; tubular ones on the reference's slices
    without the highest."""
    import nibabel

    def read(path):
        return np.uint8(nibabel.load(path).get_fdata())

    def run():
        reference, prediction, scores = read(task['labels']), read(task['prediction']), {}
        spacing = nibabel.load(task['labels']).header.get_zooms()
        for c, tolerance in TOLERANCE_MM.items():
            inside, predicted = np.sum(reference == c), np.sum(prediction == c)
            if not inside:
                scores[c] = (0., 0.) if predicted else (1., 1.)
                continue
            a, b = reference, prediction
            if c in TUBULAR:
                z = np.where(reference == c)[2]
                a, b = a[:, :, z.min():z.max()], b[:, :, z.min():z.max()]
            scores[c] = organ(a == c, b == c, spacing, tolerance)
        return scores
    return run


def organ(reference, prediction, spacing, tolerance_mm):
    import surface_distance as sd
    distances = sd.compute_surface_distances(reference, prediction, spacing)
    return float(sd.compute_dice_coefficient(reference, prediction)), float(sd.compute_surface_dice_at_tolerance(distances, tolerance_mm))
