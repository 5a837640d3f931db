"""Writes plans.json: what nnU-Net v2's ExperimentPlanner decides (3d_fullres) for made-up geometries.

Needs nnunetv2 2.8.1 and dynamic-network-architectures 0.4.4: python make_plans.py > plans.json
Transposition is off, as here; networks are built on torch's meta device, so that nothing is computed.
"""
import contextlib, io, json, os, sys

for v in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ.setdefault(v, "/tmp")
import numpy as np, torch
import nnunetv2.experiment_planning.experiment_planners.default_experiment_planner as module

module.shutil.copy = lambda *a: None
module.get_allowed_n_proc_DA = lambda: 1


class Planner(module.ExperimentPlanner):
    def __init__(self, shapes, spacings, classes):
        real, module.load_json = module.load_json, lambda path: self.files[os.path.basename(path)]
        self.files = {"dataset.json": {"channel_names": {"0": "CT"}, "labels": {str(i): i for i in range(classes)}, "numTraining": len(shapes), "file_ending": ".nii.gz"},
                      "dataset_fingerprint.json": {"shapes_after_crop": shapes, "spacings": spacings, "median_relative_size_after_cropping": 1.0, "foreground_intensity_properties_per_channel": {}}}
        module.maybe_convert_to_dataset_name = lambda n: n
        module.get_filenames_of_train_images_and_targets = lambda *a: {}
        module.isfile = lambda p: p.endswith("dataset_fingerprint.json")
        super().__init__("x", suppress_transpose=True)
        module.load_json = real

    def determine_reader_writer(self): return Planner
    def save_plans(self, plans): pass

    @staticmethod
    def static_estimate_VRAM_usage(*a):
        with torch.device("meta"): return module.ExperimentPlanner.__dict__["static_estimate_VRAM_usage"].__func__(*a)


def decide(shapes, spacings, classes):
    with contextlib.redirect_stdout(io.StringIO()):
        plans = Planner(shapes, spacings, classes).plan_experiment()
    c = plans["configurations"]["3d_fullres"]; a = c["architecture"]["arch_kwargs"]
    return {"shapes": shapes, "spacings": spacings, "classes": classes, "spacing": [float(v) for v in c["spacing"]], "median": [float(v) for v in c["median_image_size_in_voxels"]],
            "patch": [int(v) for v in c["patch_size"]], "batch": int(c["batch_size"]), "batch_dice": bool(c["batch_dice"]), "features": list(a["features_per_stage"]),
            "strides": [list(s) for s in a["strides"]], "kernels": [list(k) for k in a["kernel_sizes"]]}


def main():
    # the geometry of the 5-case set behind ../splits.json, which gives the paper's patch
    out = [decide([[96, 464, 464], [110, 512, 512], [84, 512, 512], [90, 384, 384], [30, 101, 122]],
                  [[2.5, .800000011920929, .800000011920929], [2.5, .7400000095367432, .7400000095367432], [3., .8600000143051147, .8600000143051147], [2.5, .800000011920929, .800000011920929], [3., 3., 3.]], 14)]
    # the 10th percentile of z is finer than the other axes: the spacing stays just above theirs
    out.append(decide([[30, 256, 256]] * 5, [[z, 1., 1.] for z in (.5, .6, 8., 8., 8.)], 3))
    rng = np.random.default_rng(7)
    while len(out) < 41:
        n = 60 if len(out) in (6, 10, 15) else int(rng.integers(1, 9))
        z, xy = rng.choice([.5, 1, 1.5, 2.5, 3, 5, 8]), rng.choice([.4, .7, .8, 1, 1.5, 3])
        z, size = max(z, xy / 2), [[30, 90, 80], [40, 128, 96]][len(out) % 2] if n == 60 else rng.choice([[40, 128, 128], [96, 512, 512], [200, 300, 250], [18, 48, 64], [12, 256, 256], [400, 512, 512], [64, 64, 64]])
        shapes = [[max(8, int(v * rng.uniform(.7, 1.3))) for v in size] for _ in range(n)]
        skew = rng.choice([1, 1, 1.7])
        spacings = [[round(float(v * rng.uniform(.8, 1.25)), 3) for v in (z, xy)] for _ in range(n)]
        spacings = [[a, round(b * skew, 3), b] for a, b in spacings]
        out.append(decide(shapes, spacings, int(rng.integers(2, 16))))
    print("[\n" + ",\n".join(json.dumps(o) for o in out) + "\n]")


main()
