package cases

import (
	"slices"
	"strings"
)

// Pairs finds the labels of paired organs, right then left, by their names: two that
// differ only in "right" and "left", such as right_kidney and left_kidney, or Kidney
// Right and kidney-left.
func Pairs(labels []Label) [][2]int {
	plain := func(l Label) string { return strings.Join(words(l.Name), " ") }
	var pairs [][2]int
	for _, r := range labels {
		name := plain(r)
		want := strings.Replace(name, "right", "left", 1)
		for _, l := range labels {
			if want != name && plain(l) == want {
				pairs = append(pairs, [2]int{r.ID, l.ID})
			}
		}
	}
	return pairs
}

// OneSided names the labels of a side whose other side has none.
func OneSided(labels []Label) (names []string) {
	paired := map[int]bool{}
	for _, p := range Pairs(labels) {
		paired[p[0]], paired[p[1]] = true, true
	}
	for _, l := range labels {
		w := words(l.Name)
		if !paired[l.ID] && (slices.Contains(w, "right") || slices.Contains(w, "left")) {
			names = append(names, l.Name)
		}
	}
	return names
}

// words of a name, in lower case.
func words(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == ' ' || c == '_' || c == '-' })
}
