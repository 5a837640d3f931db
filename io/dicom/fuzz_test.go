package dicom

import (
	"context"
	"errors"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"

	"noisystudent/io/dicom/dicomtest"
)

// FuzzRead: whatever the bytes of a slice, reading gives a typed error or a volume.
func FuzzRead(f *testing.F) {
	for _, syntax := range []string{
		uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian, dicomtest.RLE,
		dicomtest.SV1, "1.2.840.10008.1.2.4.80",
	} {
		s := small()
		s.Syntax = syntax
		slice := s.Slices()[0]
		slice[tag.PixelPaddingValue] = []int{-2000}
		f.Add(slice.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		p := &Place{address: "fuzz", files: []file{{name: "slice.dcm", size: int64(len(b)), read: func(_ context.Context, off, n int64) ([]byte, error) {
			return b[off : off+n], nil
		}}}}
		list, _, err := p.open(t.Context(), "", Options{MaxVoxels: 1 << 16})
		if err == nil {
			err = decode(t.Context(), list[0], make([]float32, list[0].rows*list[0].columns), false, scaled[float32]{list[0].scale, AirHU})
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("not typed: %v", err)
		}
	})
}
