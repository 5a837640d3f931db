package cases

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxID is the longest case id in bytes: the files made from it must fit a file system.
const maxID = 200

// CheckID reports why an id cannot name a case. Ids become file names and object
// keys, so nothing that could leave a folder or hide in one is allowed.
func CheckID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("cases: check id: it is empty")
	case len(id) > maxID:
		return fmt.Errorf("cases: check id %.20q...: longer than %d bytes", id, maxID)
	case !utf8.ValidString(id):
		return fmt.Errorf("cases: check id %q: not UTF-8", id)
	case strings.HasPrefix(id, "."):
		return fmt.Errorf("cases: check id %q: begins with a dot", id)
	case strings.ContainsAny(id, `/\`):
		return fmt.Errorf("cases: check id %q: holds a path separator", id)
	case strings.IndexFunc(id, unicode.IsControl) >= 0:
		return fmt.Errorf("cases: check id %q: holds a control character", id)
	}
	return nil
}

// endings that Load reads.
var endings = []string{".nii.gz", ".nii"}

// foreign are endings of images that other programs read and this one refuses by name.
var foreign = []string{
	".nrrd", ".nhdr", ".mha", ".mhd", ".tif", ".tiff", ".png", ".bmp", ".gipl", ".gipl.gz",
	".dcm", ".dicom", ".ima", ".img", ".hdr", ".mgz", ".b2nd", ".nii.zst", ".nii.bz2", ".nii.xz",
}

// cutEnding splits a NIfTI file name into stem and ending.
func cutEnding(name string) (stem string, ok bool) {
	for _, e := range endings {
		if len(name) > len(e) && strings.EqualFold(name[len(name)-len(e):], e) {
			return name[:len(name)-len(e)], true
		}
	}
	return "", false
}

// isForeign reports whether a name is that of an image in a format not read here.
func isForeign(name string) bool {
	for _, e := range foreign {
		if strings.HasSuffix(strings.ToLower(name), e) {
			return true
		}
	}
	return false
}

var channelSuffix = regexp.MustCompile(`^(.+)_(\d{4})$`)

// cutChannel splits nnU-Net's image stem, <case>_<four digits>, as nnU-Net does.
func cutChannel(stem string) (id, channel string, ok bool) {
	m := channelSuffix.FindStringSubmatch(stem)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// ignored are files that lie beside scans and are not meant as one.
func ignored(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(element, ".") {
			return true
		}
	}
	name := path.Base(key)
	return !isForeign(name) && !isNIfTI(name)
}

func isNIfTI(name string) bool {
	_, ok := cutEnding(name)
	return ok
}
