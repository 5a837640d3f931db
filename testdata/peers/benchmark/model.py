"""The low-footprint network with random weights: nnU-Net's results folder, and the weights for ours/store.go."""
import json
import os

import torch
from inputs import CLASSES, SPACING

NAMES = ['liver', 'right_kidney', 'spleen', 'pancreas', 'aorta', 'inferior_vena_cava', 'right_adrenal_gland', 'left_adrenal_gland', 'gallbladder',
         'esophagus', 'stomach', 'duodenum', 'left_kidney']
DATASET = {'channel_names': {'0': 'CT'}, 'labels': {'background': 0, **{n: i + 1 for i, n in enumerate(NAMES)}}, 'numTraining': 1, 'file_ending': '.nii.gz'}
INTENSITY = {'max': 1000., 'mean': 80., 'median': 90., 'min': -1000., 'percentile_00_5': -960., 'percentile_99_5': 280., 'std': 140.}  # ours/store.go has the same


def plans(features, patch):
    """nnU-Net's plans.json of the network, as its planner writes it."""
    from peer import KERNELS, STRIDES
    n = len(features)

    def resampling(is_seg, order):
        return {'is_seg': is_seg, 'order': order, 'order_z': 0, 'force_separate_z': None}
    architecture = {
        'network_class_name': 'dynamic_network_architectures.architectures.unet.PlainConvUNet', '_kw_requires_import': ['conv_op', 'norm_op', 'dropout_op', 'nonlin'],
        'arch_kwargs': {
            'n_stages': n, 'features_per_stage': features, 'conv_op': 'torch.nn.modules.conv.Conv3d', 'kernel_sizes': KERNELS[:n], 'strides': STRIDES[:n],
            'n_conv_per_stage': [2] * n, 'n_conv_per_stage_decoder': [2] * (n - 1), 'conv_bias': True,
            'norm_op': 'torch.nn.modules.instancenorm.InstanceNorm3d', 'norm_op_kwargs': {'eps': 1e-5, 'affine': True},
            'dropout_op': None, 'dropout_op_kwargs': None, 'nonlin': 'torch.nn.LeakyReLU', 'nonlin_kwargs': {'inplace': True},
        },
    }
    configuration = {
        'data_identifier': 'nnUNetPlans_3d_fullres', 'preprocessor_name': 'DefaultPreprocessor', 'batch_size': 4, 'patch_size': patch,
        'median_image_size_in_voxels': [110., 474., 474.], 'spacing': list(SPACING), 'normalization_schemes': ['CTNormalization'], 'use_mask_for_norm': [False],
        'architecture': architecture, 'batch_dice': True,
    }
    for part, is_seg, order in (('data', False, 3), ('seg', True, 1), ('probabilities', False, 1)):
        configuration |= {f'resampling_fn_{part}': 'resample_data_or_seg_to_shape', f'resampling_fn_{part}_kwargs': resampling(is_seg, order)}
    return {
        'dataset_name': 'Dataset022_Benchmark', 'plans_name': 'nnUNetPlans', 'image_reader_writer': 'SimpleITKIO',
        'original_median_spacing_after_transp': list(SPACING), 'original_median_shape_after_transp': [110, 474, 474],
        'transpose_forward': [0, 1, 2], 'transpose_backward': [0, 1, 2], 'configurations': {'3d_fullres': configuration},
        'experiment_planner_used': 'ExperimentPlanner', 'label_manager': 'LabelManager', 'foreground_intensity_properties_per_channel': {'0': INTENSITY},
    }


def managers(task):
    """Plans, configuration and labels as nnU-Net's functions take them."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    manager = PlansManager(plans(task['features'], task['patch']))
    return manager, manager.get_configuration('3d_fullres'), manager.get_label_manager(DATASET)


def write(task):
    """The folder gets nnunet/ (plans.json, dataset.json, fold_0/checkpoint_final.pth) and network.safetensors with the same weights."""
    from peer import network, save, unique
    net, _ = network(task, False)
    text = plans(task['features'], task['patch'])
    folder = os.path.join(task['folder'], 'nnunet')
    os.makedirs(os.path.join(folder, 'fold_0'))
    for name, value in (('plans', text), ('dataset', DATASET)):
        with open(os.path.join(folder, name + '.json'), 'w') as file:
            json.dump(value, file)
    torch.save({
        'network_weights': net.state_dict(), 'trainer_name': 'nnUNetTrainer', 'inference_allowed_mirroring_axes': (0, 1, 2),
        'init_args': {'plans': text, 'configuration': '3d_fullres', 'fold': 0, 'dataset_json': DATASET},
    }, os.path.join(folder, 'fold_0', 'checkpoint_final.pth'))
    save(task['folder'], 'network', unique(net))
