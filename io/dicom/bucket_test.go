package dicom

import (
	"fmt"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"noisystudent/io/dicom/dicomtest"
	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

// Headers are read by ranges: of slices of half a megabyte no more than the first
// piece is asked for, and more only where the header is longer.
func TestHeadersAreReadByRanges(t *testing.T) {
	service := storetest.Bucket(t, "scans")
	const n, side = 6, 512
	for name, private := range map[string]int{"short": 0, "long": 3 * firstBytes} {
		s := dicomtest.Series{UID: "1.2.3", Shape: [3]int{n, side, side}, Spacing: [3]float64{5, 0.8, 0.8}}
		address, size := "gs://scans/"+name, 0
		st, err := store.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		for i, slice := range s.Slices() {
			slice[tag.RedPaletteColorLookupTableData] = make([]byte, private) // an element that nobody wants
			b := slice.Bytes()
			if err := st.Write(t.Context(), fmt.Sprint(i), b); err != nil {
				t.Fatal(err)
			}
			size += len(b)
		}
		before := service.Sent()
		if _, _, err := ReadHeader(t.Context(), address, Options{}); err != nil {
			t.Fatal(err)
		}
		want, sent := int64(n*firstBytes), service.Sent()-before
		if private > 0 {
			want *= 8
		}
		if sent != want {
			t.Errorf("%s headers: %d bytes were read of %d, want %d", name, sent, size, want)
		}
		before = service.Sent()
		if _, _, err := Read(t.Context(), address, Options{}); err != nil {
			t.Fatal(err)
		}
		if sent := service.Sent() - before; sent != n*2*side*side { // the headers are known
			t.Errorf("%s headers: %d bytes were read for the voxels", name, sent)
		}
		if err := st.Write(t.Context(), "0", s.Slices()[0].Bytes()); err != nil {
			t.Fatal(err)
		}
		before = service.Sent()
		if _, _, err := ReadHeader(t.Context(), address, Options{}); err != nil || service.Sent() == before {
			t.Errorf("%s headers: those of other files were taken, %v", name, err)
		}
	}
}
