package cases

import (
	"errors"
	"fmt"
)

// Kind names a class of fault that belongs to one case; its text is the machine
// readable reason in the ledger and in the rejected output.
type Kind string

const (
	Truncated       Kind = "truncated"        // the file ends early or its gzip stream is broken
	HeaderMismatch  Kind = "header-mismatch"  // header and data sizes disagree
	BadDimensions   Kind = "bad-dimensions"   // 0, negative, not 3-D or too large
	BadGeometry     Kind = "bad-geometry"     // spacing or direction is not usable
	NonFinite       Kind = "non-finite"       // NaN or infinite voxels
	Empty           Kind = "empty-scan"       // every voxel is zero
	NoBody          Kind = "no-body"          // every voxel is air
	UnknownLabel    Kind = "unknown-label"    // a label that dataset.json does not list
	GridMismatch    Kind = "grid-mismatch"    // image and labels differ in grid
	Unreadable      Kind = "unreadable"       // the file cannot be opened
	Missing         Kind = "missing-file"     // image or labels are not there
	DuplicateCase   Kind = "duplicate-case"   // one id, two files
	SeveralChannels Kind = "several-channels" // <case>_0001 exists
	UnsupportedType Kind = "unsupported-type" // .nrrd, .mha, .tif, complex or RGB voxels
	TooLarge        Kind = "too-large"        // does not fit the memory budget
	BadName         Kind = "bad-name"         // the file name cannot name a case
	NotWritten      Kind = "not-written"      // the output could not be stored
)

// Kinds of faults of DICOM series, beside those above.
const (
	GantryTilt        Kind = "gantry-tilt"                 // slices are sheared
	MissingSlices     Kind = "missing-slices"              // there is a gap
	DuplicateSlices   Kind = "duplicate-slices"            // two in one place
	MixedSlices       Kind = "mixed-slices"                // several sizes, orientations or spacings
	SeveralReferences Kind = "several-frames-of-reference" // the patient has moved between slices
	OtherModality     Kind = "other-modality"              // MR, PET, a report
	Localizer         Kind = "localizer"                   // a scout view
	NoPixelData       Kind = "no-pixel-data"               // no images
	MultiFrame        Kind = "multi-frame"                 // all slices in one file
	TransferSyntax    Kind = "transfer-syntax"             // a compression that is not read
	BadArchive        Kind = "bad-archive"                 // a .zip that is damaged or meant to harm
)

// Fault is an error of one case: the rest of the batch goes on.
type Fault struct {
	Kind   Kind
	File   string // what the person should look at
	Remedy string // what to do about it, a sentence
	Err    error  // cause, or nil
}

// Error gives kind, file, cause and remedy in one line.
func (f *Fault) Error() string {
	if f.Err == nil {
		return fmt.Sprintf("%s: %s; %s", f.File, f.Kind, f.Remedy)
	}
	return fmt.Sprintf("%s: %s: %v; %s", f.File, f.Kind, f.Err, f.Remedy)
}

func (f *Fault) Unwrap() error { return f.Err }

// Rejected is a case that a stage refused: an element of the rejected output.
type Rejected struct {
	Case    string `json:"case"`
	Stage   string `json:"stage"`
	Reason  Kind   `json:"reason"`
	File    string `json:"file"`
	Message string `json:"message"`
}

// Reject turns a Fault into the rejected output's element. It returns false for
// an error that is not a Fault: a systemic one, which must fail the pipeline.
func Reject(id, stage string, err error) (Rejected, bool) {
	var f *Fault
	if !errors.As(err, &f) {
		return Rejected{}, false
	}
	return Rejected{Case: id, Stage: stage, Reason: f.Kind, File: f.File, Message: f.Error()}, true
}

// InFile names the file of a Fault that was found where files are not known. Other errors
// stay as they are.
func InFile(address string, err error) error {
	var f *Fault
	if errors.As(err, &f) && f.File == "" {
		f.File = address
	}
	return err
}
