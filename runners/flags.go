package runners

import (
	"flag"
	"strings"
)

// BeamFlags describes the flags that Beam's libraries define, for people.
func BeamFlags() string {
	var b strings.Builder
	set := flag.NewFlagSet("beam", flag.ContinueOnError)
	flag.CommandLine.VisitAll(func(f *flag.Flag) { set.Var(f.Value, f.Name, f.Usage) })
	set.SetOutput(&b)
	set.PrintDefaults()
	return b.String()
}
