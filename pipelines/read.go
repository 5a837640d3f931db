package pipelines

import "github.com/apache/beam/sdks/v2/go/pkg/beam"

// read gives the last outputs of a graph a reader that is none of our DoFns; what they
// say is in the ledger. Prism 2.77 asks without a pause whether a bundle has ended whose
// stage has no output (stage.Execute): that takes a whole core for as long as the bundle
// works, or waits for the core that it is taking. A grouping is Prism's own, and no bundle.
func read(s beam.Scope, outputs ...beam.PCollection) {
	s = s.Scope("pipelines.read")
	for _, col := range outputs {
		beam.GroupByKey(s, beam.AddFixedKey(s, col))
	}
}
