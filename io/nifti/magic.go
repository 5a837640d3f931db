package nifti

import (
	"bytes"
	"fmt"
)

// foreign are formats that people feed in under the wrong name, by what their
// file begins with.
var foreign = []struct{ magic, name string }{
	{"NRRD", "NRRD"},
	{"ObjectType", "MetaImage (.mha, .mhd)"},
	{"NDims", "MetaImage (.mha, .mhd)"},
	{"II*\x00", "TIFF"},
	{"MM\x00*", "TIFF"},
	{"II+\x00", "TIFF"},
	{"MM\x00+", "TIFF"},
	{"\x89PNG", "PNG"},
	{"\xff\xd8\xff", "JPEG"},
	{"\x89HDF", "HDF5 or MINC"},
	{"\x93NUMPY", "NumPy"},
	{"PK\x03\x04", "zip"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"BZh", "bzip2"},
	{"\xfd7zXZ", "xz"},
}

// refuse explains bytes that do not begin as a NIfTI header. The remedy is named
// because this is what a person reads.
func refuse(first []byte) error {
	for _, f := range foreign {
		if bytes.HasPrefix(first, []byte(f.magic)) {
			return fmt.Errorf("%w: this is %s data: convert it to .nii.gz, for example with "+
				"SimpleITK.WriteImage(SimpleITK.ReadImage(old), \"case_0000.nii.gz\")", ErrUnsupported, f.name)
		}
	}
	if len(first) >= 132 && string(first[128:132]) == "DICM" {
		return fmt.Errorf("%w: this is one DICOM file: give the folder of the series, "+
			"or convert it with dcm2niix", ErrUnsupported)
	}
	return fmt.Errorf("%w: it begins with % x", ErrFormat, first[:min(len(first), 8)])
}

// refusePair explains the header part of a two-file image, or its ancestor.
func refusePair(kind string) error {
	return fmt.Errorf("%w: %s: convert it to one .nii.gz file, for example with "+
		"nibabel.save(nibabel.load(\"old.hdr\"), \"case_0000.nii.gz\")", ErrUnsupported, kind)
}
