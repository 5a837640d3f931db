package dicom

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Address names one series of a place.
func Address(place, series string) string { return place + "#" + series }

var uidPattern = regexp.MustCompile(`^[0-9.]{1,64}$`)

// Cut takes the address of a series apart; false where it is none.
func Cut(address string) (place, series string, ok bool) {
	at := strings.LastIndexByte(address, '#')
	if at < 1 || !uidPattern.MatchString(address[at+1:]) {
		return "", "", false
	}
	return address[:at], address[at+1:], true
}

// IsArchive reports whether a name is that of a zip archive.
func IsArchive(name string) bool { return strings.EqualFold(path.Ext(name), ".zip") }

// Candidate reports whether the file at a key may be a slice. Only content tells, so
// that it is any file whose name does not say that it is something else.
func Candidate(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(element, ".") || strings.EqualFold(path.Ext(element), ".zarr") {
			return false
		}
	}
	name := path.Base(key)
	return !strings.EqualFold(name, "DICOMDIR") && !slices.Contains(others, strings.ToLower(path.Ext(name)))
}

// others are endings of what lies beside slices: reports, viewers, other images, and
// files that are still being written.
var others = strings.Fields(`.txt .md .json .xml .csv .tsv .xls .xlsx .doc .docx .pdf .htm .html .css .js .log .yaml .yml .ini .inf .cfg
	.exe .dll .jar .class .bat .sh .py .go .db .lnk .jpg .jpeg .png .gif .bmp .ico .svg .tif .tiff .avi .mp4
	.nii .gz .zip .7z .rar .tar .tgz .xz .bz2 .zst .nrrd .nhdr .mha .mhd .mgz .b2nd .npy .npz .mat .stl .safetensors .parquet
	.part .partial .tmp .crdownload`)

// meant reports whether a file that does not begin as a slice is a damaged one rather
// than something else: it is named like slices, or empty as a broken copy leaves it.
func (f file) meant() bool {
	name := path.Base(f.name)
	return slices.Contains([]string{".dcm", ".dicom", ".ima"}, strings.ToLower(path.Ext(name))) ||
		f.size == 0 && strings.ContainsAny(name, "0123456789")
}
