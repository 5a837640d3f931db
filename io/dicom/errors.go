package dicom

import (
	"errors"
	"fmt"
)

// ErrMalformed is the root of everything that is wrong with a series of CT slices.
// The errors below it name the part; errors.Is finds both.
var (
	ErrMalformed  = errors.New("malformed")
	ErrTruncated  = fmt.Errorf("%w: cut short or damaged", ErrMalformed)        // a file or a compressed stream ends early
	ErrHeader     = fmt.Errorf("%w: inconsistent header fields", ErrMalformed)  // elements that contradict each other or the standard
	ErrMismatch   = fmt.Errorf("%w: header and data disagree", ErrMalformed)    // more or fewer bytes than rows x columns say
	ErrDimensions = fmt.Errorf("%w: bad dimensions", ErrMalformed)              // no rows or columns
	ErrGeometry   = fmt.Errorf("%w: bad geometry", ErrMalformed)                // position, orientation or spacing missing or not usable
	ErrTilt       = fmt.Errorf("%w: gantry tilt", ErrMalformed)                 // slices are sheared against their normal
	ErrMissing    = fmt.Errorf("%w: missing slices", ErrMalformed)              // a gap
	ErrDuplicate  = fmt.Errorf("%w: duplicate slices", ErrMalformed)            // two slices in one place
	ErrMixed      = fmt.Errorf("%w: mixed slices", ErrMalformed)                // several sizes, orientations or spacings
	ErrReferences = fmt.Errorf("%w: several frames of reference", ErrMalformed) // slices of several patient positions
	ErrArchive    = fmt.Errorf("%w: bad zip archive", ErrMalformed)             // damaged, or made to harm
)

// ErrUnsupported is the root of what may be sound and is refused by name.
var (
	ErrUnsupported = errors.New("unsupported")
	ErrModality    = fmt.Errorf("%w: not a CT series", ErrUnsupported)             // MR, PET, reports, ...
	ErrLocalizer   = fmt.Errorf("%w: a localizer", ErrUnsupported)                 // scout views
	ErrNoPixels    = fmt.Errorf("%w: no pixel data", ErrUnsupported)               // an object without an image
	ErrSyntax      = fmt.Errorf("%w: transfer syntax", ErrUnsupported)             // a compression that is not read
	ErrMultiFrame  = fmt.Errorf("%w: a multi-frame file", ErrUnsupported)          // enhanced CT
	ErrPixels      = fmt.Errorf("%w: pixels other than one grey", ErrUnsupported)  // colour, packed bits, floats
	ErrSeveral     = fmt.Errorf("%w: several series in one place", ErrUnsupported) // and none was named
	ErrNone        = fmt.Errorf("%w: no DICOM series", ErrUnsupported)             // the place does not hold the one named, or any
)

// ErrTooLarge marks a valid series above Options.MaxVoxels.
var ErrTooLarge = errors.New("too large")
