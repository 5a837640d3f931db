package pipelines

import (
	"errors"
	"testing"

	"noisystudent/io/dicom"
	"noisystudent/transforms/cases"
)

// predict is told of a scan so that it finds this one alone.
func TestBenchInput(t *testing.T) {
	list := []cases.Case{
		{ID: "file", Image: "/in/a_0000.nii.gz"},
		{ID: "folder", Image: dicom.Address("/in/one", "1.2.3")},
		{ID: "itself", Image: dicom.Address("/in/.", "1.2.4")},
		{ID: "two", Image: dicom.Address("/in/two", "1.2.5")},
		{ID: "three", Image: dicom.Address("/in/two", "1.2.6")},
	}
	b := bench{places: placesOf(list)}
	for i, want := range []string{"/in/a_0000.nii.gz", "/in/one", "/in", "", ""} {
		got, err := b.input(list[i])
		var fault *cases.Fault
		if got != want || errors.As(err, &fault) != (want == "") {
			t.Errorf("%s: %q, %v", list[i].Image, got, err)
		}
	}
}
