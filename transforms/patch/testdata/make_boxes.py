"""Boxes of nnU-Net v2's data loader for given shapes, patches and forced voxels.

    python make_boxes.py SOURCE_OF_NNUNETV2_2.8.1      (numpy only: the two methods are taken out of the source file)

Random boxes are described by their range: get_bbox is run many times and the least and greatest corner noted.
"""
import json
import os
import re
import sys
import textwrap
import types
import warnings
from typing import Tuple, Union

import numpy as np

source = open(os.path.join(sys.argv[1], 'nnunetv2/training/dataloading/data_loader.py')).read()
space = {'np': np, 'Union': Union, 'Tuple': Tuple, 'warnings': warnings}
for name in ('get_bbox', '_oversample_last_XX_percent'):
    body = re.search(r'    def %s\(.*?(?=\n    def |\nif __name__)' % name, source, re.S).group(0)
    exec(textwrap.dedent(body), space)


def loader(patch, ignore=False, batch=2):
    return types.SimpleNamespace(patch_size=patch, need_to_pad=np.zeros(3, int), has_ignore=ignore, annotated_classes_key=(-1, 0, 1),
                                 batch_size=batch, oversample_foreground_percent=0.33)


def main():
    np.random.seed(0)
    patch = (8, 16, 12)
    out = {'patch': patch, 'random': [], 'forced': [], 'forced_slots': []}
    for shape in ((20, 40, 30), (8, 16, 12), (5, 16, 40), (5, 9, 11), (9, 17, 13)):
        draws = np.array([space['get_bbox'](loader(patch), shape, False, None)[0] for _ in range(4000)])
        out['random'].append({'shape': shape, 'least': draws.min(0).tolist(), 'greatest': draws.max(0).tolist()})
        for part in ((0, 0, 0), (.5, .5, .5), (1, 1, 1), (.9, .1, .6)):
            voxel = [int(p * (s - 1)) for p, s in zip(part, shape)]
            lo, _ = space['get_bbox'](loader(patch), shape, True, {1: np.array([[0, *voxel]])})
            out['forced'].append({'shape': shape, 'voxel': voxel, 'corner': [int(i) for i in lo]})
    for batch in range(1, 13):
        out['forced_slots'].append([i for i in range(batch) if space['_oversample_last_XX_percent'](loader(patch, batch=batch), i)])
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'boxes.json'), 'w') as f:
        json.dump(out, f, indent=1)


if __name__ == '__main__':
    main()
