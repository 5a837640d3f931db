// Package cases finds the scans of a dataset and says what is wrong with one.
//
// A dataset is nnU-Net v2's raw layout as it is (dataset.json, imagesTr,
// labelsTr, imagesTs, labelsTs) plus imagesUn/ for the unlabelled pool. Image
// files are <case>_0000.nii.gz, label files <case>.nii.gz. A folder or archive of DICOM
// slices, <case>_0000/ or <case>_0000.zip, may stand for an image (see io/dicom).
package cases

// Set is the part of a dataset that a case belongs to.
type Set string

const (
	Labelled   Set = "labelled"
	Unlabelled Set = "unlabelled"
	Test       Set = "test" // labels, where there are any, are read by evaluate only
)

// Case is one patient scan with its files; paths are local or gs:// addresses. An image
// that is a DICOM series is the address of its place with # and its UID.
type Case struct {
	ID     string `json:"id"`
	Set    Set    `json:"set"`
	Image  string `json:"image"`
	Labels string `json:"labels,omitempty"` // empty: none
}

// Label is one class of dataset.json. Background is 0 and not listed.
type Label struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// Dataset is what dataset.json and the folders say.
type Dataset struct {
	Name       string  `json:"name"`
	Root       string  `json:"root"`
	Labels     []Label `json:"labels"` // foreground, ascending, without the ignore label
	Ignore     int     `json:"ignore"` // value of the ignore label, or -1
	FileEnding string  `json:"file_ending"`
	Cases      []Case  `json:"cases"` // ascending by set, then id
	// Warnings are what a person should know about dataset.json; nothing is refused for them.
	Warnings []string `json:"warnings,omitempty"`
}

// Classes returns the number of network outputs, background included.
func (d Dataset) Classes() int { return len(d.Labels) + 1 }
