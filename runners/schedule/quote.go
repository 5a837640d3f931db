package schedule

import "strings"

// plain are characters that mean themselves to sh and to systemd.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@"

func isPlain(word string) bool { return word != "" && strings.Trim(word, plain) == "" }

// shellWord quotes a word for sh.
func shellWord(word string) string {
	if isPlain(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func shellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

// systemdLine quotes a command for ExecStart, where % begins a specifier and $ a
// variable, also in quotes.
func systemdLine(words []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$")
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !isPlain(w) {
			quoted[i] = `"` + escape.Replace(w) + `"`
		}
	}
	return strings.Join(quoted, " ")
}
