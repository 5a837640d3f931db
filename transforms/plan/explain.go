package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Explain writes a plan for people: one line a field, with its reason; a quotation
// mark stands for the reason above.
func Explain(p Plan) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	above := ""
	for _, l := range leaves(&p) {
		why := p.reason(l.path)
		if why == above && why != "" {
			why = `"`
		} else {
			above = why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.path, show(l), why)
	}
	w.Flush()
	return text.String()
}

// reason is the field's own or that of the group it belongs to.
func (p Plan) reason(path string) string {
	for path != "" {
		if why, ok := p.Reasons[path]; ok {
			return why
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return ""
}

// show gives a value in one short line.
func show(l leaf) string {
	if l.path == "labels" {
		var names []string
		for i := range l.value.Len() {
			names = append(names, l.value.Index(i).FieldByName("Name").String())
		}
		return strings.Join(names, ", ")
	}
	text, err := json.Marshal(l.value.Interface())
	if err != nil {
		return fmt.Sprint(l.value)
	}
	line := strings.Trim(string(text), `"`)
	if line == "null" {
		line = "[]"
	}
	return line
}

// Warnings returns the reasons that a person should read before training.
func (p Plan) Warnings() []string {
	var found []string
	for path, why := range p.Reasons {
		if _, text, ok := strings.Cut(why, "warning: "); ok {
			found = append(found, path+": "+text)
		}
	}
	slices.Sort(found)
	return found
}
