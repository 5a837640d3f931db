package dicom

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/dicom/dicomtest"
)

// zipped is a small series as files of an archive.
func zipped() map[string][]byte {
	files := map[string][]byte{"readme.txt": []byte("x"), "series/": nil}
	for i, s := range small().Slices() {
		files[fmt.Sprintf("series/IM%d", i)] = s.Bytes()
	}
	return files
}

func TestArchive(t *testing.T) {
	folder := put(t, small().Slices())
	want, frame, err := Read(t.Context(), folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	address := putFiles(t, map[string][]byte{"scan.zip": dicomtest.Zip(zipped())}) + "/scan.zip"
	for _, a := range []string{address, Address(address, "1.2.3")} {
		got, f, err := Read(t.Context(), a, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Data, want.Data) || f != frame {
			t.Errorf("%s is read as %v", a, got.Geometry)
		}
	}
	p, err := Open(t.Context(), address)
	if err != nil || p.Info().Size == 0 || p.Info().Generation == 0 {
		t.Errorf("%+v, %v", p.Info(), err)
	}
	if _, err := Open(t.Context(), strings.Replace(address, "scan", "other", 1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an archive that is not there: %v", err)
	}
}

func TestBadArchives(t *testing.T) {
	whole := dicomtest.Zip(zipped())
	one := func(change func(h *zip.FileHeader)) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for name, data := range zipped() {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			if name == "series/IM1" {
				change(h)
			}
			f, err := w.CreateHeader(h)
			if err == nil {
				_, err = f.Write(data)
			}
			if err != nil && data != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// directory changes a field of IM1's record in the central directory.
	directory := func(field int, value uint32) []byte {
		b := slices.Clone(whole)
		at := bytes.LastIndex(b, []byte("series/IM1")) - 46
		binary.LittleEndian.PutUint32(b[at+field:], value)
		return b
	}
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"not an archive":      {[]byte("text"), ErrArchive},
		"empty":               {nil, ErrArchive},
		"cut short":           {whole[:len(whole)-30], ErrArchive},
		"a way out":           {one(func(h *zip.FileHeader) { h.Name = "../IM1" }), ErrArchive},
		"an absolute name":    {one(func(h *zip.FileHeader) { h.Name = "/etc/IM1" }), ErrArchive},
		"a backslash":         {one(func(h *zip.FileHeader) { h.Name = `..\IM1` }), ErrArchive},
		"a drive":             {one(func(h *zip.FileHeader) { h.Name = "c:IM1" }), ErrArchive},
		"a link for a slice":  {one(func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }), ErrArchive},
		"a bomb":              {directory(24, 1<<31), ErrArchive},
		"overlapping files":   {directory(20, uint32(len(whole))), ErrArchive},
		"a size that lies":    {directory(24, 5000), ErrArchive},
		"a wrong checksum":    {directory(16, 1), ErrArchive},
		"an unknown method":   {directory(8, directoryMethod(whole, 99)), ErrArchive},
		"a file elsewhere":    {directory(42, 7), ErrArchive},
		"nothing of interest": {dicomtest.Zip(map[string][]byte{"a.txt": []byte("x")}), ErrNone},
	} {
		address := putFiles(t, map[string][]byte{"scan.zip": c.archive}) + "/scan.zip"
		if _, _, err := Read(t.Context(), address, Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A list of files that would take memory out of all proportion is not read to its end.
func TestLongArchive(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 1 << 18 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%020d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), putFiles(t, map[string][]byte{"scan.zip": b.Bytes()})+"/scan.zip")
	if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "list of files") {
		t.Error(err)
	}
}

// directoryMethod keeps the flags beside a compression method.
func directoryMethod(whole []byte, method uint32) uint32 {
	at := bytes.LastIndex(whole, []byte("series/IM1")) - 46
	return uint32(binary.LittleEndian.Uint16(whole[at+8:])) | method<<16
}

// Files that are cut short anywhere, or have a flipped byte, are refused or give the
// voxels as they are: damage in what is not read does not matter.
func TestDamagedArchives(t *testing.T) {
	whole := dicomtest.Zip(zipped())
	address := putFiles(t, map[string][]byte{"scan.zip": whole}) + "/scan.zip"
	want, _, err := Read(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 3 {
		b := slices.Clone(whole)
		b[i] ^= 1 << (i % 8)
		got, _, err := Read(t.Context(), putFiles(t, map[string][]byte{"scan.zip": b})+"/scan.zip", Options{})
		switch {
		case err == nil && !slices.Equal(got.Data, want.Data):
			t.Errorf("byte %d flipped: other voxels", i)
		case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported):
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

func TestLocalFolder(t *testing.T) {
	folder := t.TempDir() + "/with#sign"
	for name, b := range zipped() {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.MkdirAll(folder+"/series", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder+"/"+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(folder+".zip", dicomtest.Zip(zipped()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{folder, Address(folder, "1.2.3"), folder + ".zip", Address(folder+".zip", "1.2.3")} {
		v, _, err := Read(t.Context(), address, Options{})
		if err != nil || v.Shape != [3]int{4, 5, 6} {
			t.Errorf("%s: %v", address, err)
		}
	}
}
