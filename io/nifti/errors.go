package nifti

import (
	"errors"
	"fmt"
)

// ErrMalformed is the root of everything that is wrong with a file. The errors
// below it name the part; errors.Is finds both.
var (
	ErrMalformed  = errors.New("malformed")
	ErrTruncated  = fmt.Errorf("%w: cut short or damaged", ErrMalformed)       // the bytes end early, or the gzip stream is broken
	ErrMismatch   = fmt.Errorf("%w: header and data disagree", ErrMalformed)   // bytes beyond the declared voxels
	ErrDimensions = fmt.Errorf("%w: bad dimensions", ErrMalformed)             // 0, negative, not 3-D, absurdly large
	ErrGeometry   = fmt.Errorf("%w: bad geometry", ErrMalformed)               // spacing or directions not usable or contradictory
	ErrNonFinite  = fmt.Errorf("%w: non-finite voxels", ErrMalformed)          // NaN or infinite after scaling, as float32
	ErrLabels     = fmt.Errorf("%w: not a label map", ErrMalformed)            // not whole numbers from 0 to 255
	ErrFormat     = fmt.Errorf("%w: not a NIfTI file", ErrMalformed)           // no known magic
	ErrHeader     = fmt.Errorf("%w: inconsistent header fields", ErrMalformed) // vox_offset, scale factors
)

// ErrUnsupported marks a valid file of a kind that is refused by name: another
// format, a pair of files, 4-D data, complex or RGB voxels.
var ErrUnsupported = errors.New("unsupported")

// ErrTooLarge marks a valid file above Options.MaxVoxels.
var ErrTooLarge = errors.New("too large")
