"""nnU-Net's trainer and ours on one cohort, by one plan and one recipe: nnU-Net's."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

FOLDS, STEPS_PER_EPOCH, DATASET, CONFIGURATION = 5, 50, 'Dataset022_FlareMini', '3d_fullres'
# The demo's network and patch, nnU-Net's optimiser, loss, sampling and augmentation; organs all lie on their own side, so that neither side mirrors.
RECIPE = {
    'batch_size': 2, 'training.optimizer': 'sgd', 'training.initial_lr': .01, 'training.momentum': .99, 'training.weight_decay': 3e-5, 'training.clip_norm': 12,
    'training.class_weights': '', 'training.oversample_foreground': .33, 'training.teacher_augment': 'nnunet', 'training.mirror': 'none',
    'training.warmup_steps': 0, 'training.steps_per_epoch': STEPS_PER_EPOCH,
}


def main():
    parser = argparse.ArgumentParser(description='nnU-Net and our teachers on flare-mini.')
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--folds', type=int, default=FOLDS, help='of five')
    parser.add_argument('--seed', type=int, default=1, help='another takes another --out')
    parser.add_argument('--out', type=pathlib.Path, required=True)
    args = parser.parse_args()
    out, epochs = args.out.resolve(), max(1, args.steps // STEPS_PER_EPOCH)
    out.mkdir(parents=True, exist_ok=True)
    import children
    subprocess.run(['go', 'build', '-o', out / 'noisystudent', '.'], cwd=children.ROOT, check=True)
    cohort = out / 'cohort'
    if not cohort.exists():
        command(out, 'phantom', '--preset', 'flare-mini', '--out', cohort)
    sides = {'ours': Ours(out, cohort, epochs, args.seed)}
    sides['nnU-Net'] = Peer(out, cohort, epochs, args.seed, sides['ours'].plan())
    found = {side: [] for side in sides}
    for fold in range(args.folds):
        for name, side in sides.items():
            run = {'losses': side.train(fold)}
            for part, images, labels in (('validation', *validation(out, cohort, sides['ours'].splits()[fold]['val'], fold)), ('test', cohort / 'imagesTs', cohort / 'labelsTs')):
                predictions = out / name / f'{part}_{fold}'
                side.predict(fold, images, predictions)
                run[part] = score(out, cohort, predictions, labels)
            print(f"fold {fold}, {name}: last loss {run['losses'][-1]:.3f}, DSC {run['validation']:.1f} validation, {run['test']:.1f} test", file=sys.stderr)
            found[name].append(run)
    print(table(found, epochs))


def command(out, *words):
    done = subprocess.run([out / 'noisystudent', *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'noisystudent {words[0]} ended with {done.returncode}: {done.stderr[-2000:]}')
    return done.stdout


def validation(out, cohort, cases, fold):
    """A fold's validation cases as folders of images and labels."""
    images, labels = out / 'validation' / f'images_{fold}', out / 'validation' / f'labels_{fold}'
    for folder, source, end in ((images, 'imagesTr', '_0000'), (labels, 'labelsTr', '')):
        folder.mkdir(parents=True, exist_ok=True)
        for case in cases:
            link = folder / f'{case}{end}.nii.gz'
            if not link.exists():
                link.symlink_to(cohort / source / link.name)
    return images, labels


def score(out, cohort, predictions, labels):
    """Mean DSC over organs, FLARE's rules, in per cent."""
    table = json.loads(command(out, 'evaluate', '--predictions', predictions, '--references', labels, '--dataset-json', cohort / 'dataset.json', '--json'))['table']
    return 100 * statistics.mean(organ['dsc'] for organ in table['organs'])


class Ours:
    def __init__(self, out, cohort, epochs, seed):
        self.out, self.cohort, self.store = out, cohort, out / 'ours' / 'store'
        sets = [f'--set={k}={v}' for k, v in (RECIPE | {'training.teacher_epochs': epochs}).items()]
        command(out, 'plan', '--dataset', cohort, '--store', self.store, '--preset', 'demo', '--seed', seed, *sets)

    def plan(self):
        return json.loads((self.store / 'plan.json').read_text())

    def splits(self):
        return json.loads((self.store / 'splits.json').read_text())

    def train(self, fold):
        command(self.out, 'train', '--dataset', self.cohort, '--store', self.store, '--role', 'teacher', '--fold', fold, '--device', 'cpu')
        lines = (self.store / 'models' / 'teacher' / f'fold_{fold}' / 'training.jsonl').read_text().splitlines()
        return [json.loads(line)['loss'] for line in lines]

    def predict(self, fold, images, predictions):
        command(self.out, 'predict', '--store', self.store, '--model', f'teacher/{fold}', '--input', images, '--output', predictions, '--export', 'probabilities', '--device', 'cpu')


class Peer:
    """nnU-Net's functions in processes of their own, with its folders under out."""

    def __init__(self, out, cohort, epochs, seed, plan):
        self.out, self.home, self.epochs, self.seed = out, out / 'nnU-Net', epochs, seed
        raw, prepared = self.home / 'raw' / DATASET, self.home / 'preprocessed' / DATASET
        for folder in (raw, prepared):
            folder.mkdir(parents=True, exist_ok=True)
        dataset = json.loads((cohort / 'dataset.json').read_text())
        dataset['labels'] = dict(sorted(dataset['labels'].items(), key=lambda item: item[1]))
        for part in ('imagesTr', 'labelsTr'):
            if not (raw / part).exists():
                (raw / part).symlink_to(cohort / part)
        for name, value in (('dataset', dataset), ('nnUNetPlans', plans(plan)), ('splits_final', json.loads((out / 'ours' / 'store' / 'splits.json').read_text())), ('dataset_fingerprint', {})):
            (prepared / f'{name}.json').write_text(json.dumps(value))
        (raw / 'dataset.json').write_text(json.dumps(dataset))
        self.call('prepare')

    def call(self, *words):
        folders = {f'nnUNet_{name}': str(self.home / name) for name in ('raw', 'preprocessed', 'results')}
        with open(self.home / 'last.log', 'w') as log:
            code = subprocess.run([sys.executable, __file__, *map(str, words)], env=os.environ | folders | {'nnUNet_n_proc_DA': '1'}, stdout=log, stderr=subprocess.STDOUT).returncode
        if code:
            raise SystemExit(f"nnU-Net's {words[0]} ended with {code}: {(self.home / 'last.log').read_text()[-2000:]}")

    def folder(self, fold):
        return self.home / 'results' / DATASET / f'Trainer__nnUNetPlans__{CONFIGURATION}' / f'fold_{fold}'

    def train(self, fold):
        self.call('train', fold, self.epochs, self.seed)
        return json.loads((self.folder(fold) / 'losses.json').read_text())

    def predict(self, fold, images, predictions):
        self.call('predict', fold, images, predictions)


def plans(plan):
    """nnU-Net's plans.json of our plan."""
    import model
    network, intensity = plan['architecture'], plan['foreground_intensity_properties']
    out = model.plans(network['features_per_stage'], plan['patch_size'])
    out |= {
        'dataset_name': DATASET, 'image_reader_writer': 'NibabelIOWithReorient', 'original_median_spacing_after_transp': plan['spacing'],
        'original_median_shape_after_transp': plan['median_image_size_in_voxels'],
        'foreground_intensity_properties_per_channel': {'0': model.INTENSITY | {k: intensity[k] for k in ('mean', 'std', 'percentile_00_5', 'percentile_99_5')}},
    }
    configuration = out['configurations'][CONFIGURATION]
    configuration |= {'batch_size': plan['batch_size'], 'spacing': plan['spacing'], 'median_image_size_in_voxels': plan['median_image_size_in_voxels'], 'batch_dice': plan['batch_dice']}
    configuration['architecture']['arch_kwargs'] |= {k: network[k] for k in ('kernel_sizes', 'strides', 'n_conv_per_stage', 'n_conv_per_stage_decoder')}
    return out


def trainer(fold, epochs, seed=1):
    """nnU-Net's trainer with its own augmentation, but for mirroring."""
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Trainer(nnUNetTrainer):
        def __init__(self, plans, configuration, fold, dataset_json, device):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = epochs, STEPS_PER_EPOCH, 1

        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
            rotation, dummy, patch, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            self.inference_allowed_mirroring_axes = None
            return rotation, dummy, patch, None

        def plot_network_architecture(self):
            pass  # needs programs that are not there

    np.random.seed(10 * seed + fold), torch.manual_seed(10 * seed + fold)
    base = pathlib.Path(os.environ['nnUNet_preprocessed']) / DATASET
    text = json.loads((base / 'nnUNetPlans.json').read_text())
    return Trainer(text | {'continue_training': False}, CONFIGURATION, fold, json.loads((base / 'dataset.json').read_text()), torch.device('cpu'))


def prepare():
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    DefaultPreprocessor(verbose=False).run(DATASET, CONFIGURATION, 'nnUNetPlans', num_processes=2)


def train(fold, epochs, seed):
    t = trainer(int(fold), int(epochs), int(seed))
    t.run_training()
    losses = [float(t.logger.get_value('train_losses', step=i)) for i in range(int(epochs))]
    (pathlib.Path(t.output_folder) / 'losses.json').write_text(json.dumps(losses))


def predict(fold, images, predictions):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    t = trainer(int(fold), 1)
    t.initialize()
    t.load_checkpoint(os.path.join(t.output_folder, 'checkpoint_final.pth'))
    t.set_deep_supervision_enabled(False)
    p = nnUNetPredictor(tile_step_size=.5, use_gaussian=True, use_mirroring=False, perform_everything_on_device=False, device=torch.device('cpu'), verbose=False)
    p.manual_initialization(t.network, t.plans_manager, t.configuration_manager, [t.network.state_dict()], t.dataset_json, t.__class__.__name__, None)
    os.makedirs(predictions, exist_ok=True)
    p.predict_from_files_sequential(images, predictions, save_probabilities=False, overwrite=True)


def spread(values):
    return f'{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}'


def table(found, epochs):
    lines = ['| loss of the steps to | ' + ' | '.join(str(STEPS_PER_EPOCH * (e + 1)) for e in range(epochs)) + ' |', '|---' * (epochs + 1) + '|']
    for name, runs in found.items():
        cells = [[run['losses'][e] for run in runs] for e in range(epochs)]
        lines.append(f'| {name} | ' + ' | '.join(f'{statistics.mean(c):.2f} ± {statistics.stdev(c) if len(c) > 1 else 0:.2f}' for c in cells) + ' |')
    lines += ['', '| DSC, % | validation | test |', '|---|---|---|']
    for name, runs in found.items():
        lines.append(f"| {name} | {spread([r['validation'] for r in runs])} | {spread([r['test'] for r in runs])} |")
    lines.append('| ours over nnU-Net, by fold | ' + ' | '.join(spread([a[part] - b[part] for a, b in zip(found['ours'], found['nnU-Net'])]) for part in ('validation', 'test')) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    if sys.argv[1:2] and sys.argv[1] in ('prepare', 'train', 'predict'):
        globals()[sys.argv[1]](*sys.argv[2:])
    else:
        main()
