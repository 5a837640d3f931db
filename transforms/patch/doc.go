// Package patch decides which patch of which case enters a training batch, makes
// batches ahead of the training step, and says where the tiles of inference lie.
//
// The one idea: every choice is keyed by (seed, role, fold, epoch, step, slot), so
// that a batch is the same bytes whoever makes it, at any parallelism, and after a
// resume in the middle of an epoch.
//
// Cases are drawn uniformly within their pool, with replacement. A batch of labelled
// cases forces foreground into its last slots as nnU-Net does (round(0.33 B) of B).
// A mixed batch of the student holds labelled and pseudo-labelled cases in a fixed
// ratio, by quota over consecutive slots, so that it holds exactly for any batch
// size; its forced slots are drawn over all slots. Where a patch lies follows nnU-Net
// v2's data loader (nnUNetDataLoader.get_bbox): anywhere inside the case; a smaller
// case lies in the middle of zeros and background; a forced patch is centred on a
// voxel of a class drawn uniformly among those present, which may push it over the
// far faces of the case.
//
// Axes are (z, y, x). Batches are (N, 1, D, H, W) images and (N, D, H, W) labels.
package patch
