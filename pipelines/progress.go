package pipelines

// Progress shows long work to a person. What is done is read from the store, not
// from the workers, so that it is the same for every runner and after a restart.
type Progress interface {
	// Stage begins a stage of so many units, such as "case" or "step".
	Stage(name string, total int64, unit string) Meter
	// Note shows a line of text.
	Note(text string)
}

// Meter is the progress of one stage.
type Meter interface {
	// At shows how much is done, and how fast in words, where there are some.
	At(done int64, pace string)
	// End says in one line how the stage ended.
	End(summary string)
}

// silent is the Progress of callers that want none.
type silent struct{}

func (silent) Stage(string, int64, string) Meter { return silent{} }
func (silent) Note(string)                       {}
func (silent) At(int64, string)                  {}
func (silent) End(string)                        {}
