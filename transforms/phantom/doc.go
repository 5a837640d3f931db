// Package phantom makes synthetic cohorts of abdominal CT scans with labels of 13
// organs, for demonstrations, tests and benchmarks. No patient data enters the
// first kind; nothing learned from either says anything about real patients.
//
// A cohort is a folder in nnU-Net v2's raw layout (imagesTr, labelsTr, imagesUn,
// imagesTs, labelsTs, dataset.json), written through a store. There are two kinds:
//
//   - phantoms drawn from nothing: a body with fat, muscle, spine, ribs, lungs,
//     vessels and bowel, and the organs as ellipsoids and tubes at plausible places,
//     deformed, each patient with proportions and a contrast phase of his own;
//   - a cohort deformed from one real labelled scan (Options.CT and Labels).
//
// The one idea: organs overlap each other, muscle and bowel in HU, so that a model
// has to learn shape and context. Labelled cases come from the domain "source"; with
// Options.Shifted the unlabelled and test cases come from "shifted": more
// deformation, stronger and other contrast phases, more noise, other grids, part of
// the view missing.
//
// Presets name benchmark cohorts that stay as they are, with a validation set
// (imagesVal, labelsVal) beside the test set, and the true labels of the unlabelled
// cases in truth/, which no training reads: they say how good pseudo-labels are, and
// what a student would reach with the truth.
//
// Every case is keyed by (seed, set, index) and does not depend on its neighbours or
// on who makes it: made again, its files have the same bytes. Processors that fuse
// multiplication and addition give the same voxels: float32 products are rounded
// before they are added, and places are float64, whose last bits decide about no
// voxel of the cohorts that tests know (GOAMD64=v3 go test fuses, too).
//
// Inside this package a point is (R, A, S) in millimetres about the middle of the
// body at the first lumbar vertebra, R to the patient's right; volumes are canonical,
// (z, y, x) towards (S, A, R).
package phantom
