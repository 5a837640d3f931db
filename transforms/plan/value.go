package plan

// Value gives the value of a field, by its path in plan.json, in one short line;
// empty where there is no such field.
func Value(p Plan, path string) string {
	for _, l := range leaves(&p) {
		if l.path == path {
			return show(l)
		}
	}
	return ""
}
