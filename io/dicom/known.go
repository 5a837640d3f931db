package dicom

import (
	"sync"

	"noisystudent/io/store"
)

// A case is looked at several times on its way: when it is listed, for its digest, its
// memory and its voxels. So the headers of a place are kept as long as its files stay
// the same, the latest places within a bound.
var known = memory{places: map[string]remembered{}}

const maxKnown = 1 << 16 // headers, of some 600 bytes

type memory struct {
	sync.Mutex
	places  map[string]remembered
	headers int
}

type remembered struct {
	info    store.Info
	headers []*header
}

// get returns the headers of a place, or nil; they are read through the place's own
// files.
func (m *memory) get(p *Place) []*header {
	m.Lock()
	defer m.Unlock()
	r, ok := m.places[p.address]
	if !ok || r.info != p.info {
		return nil
	}
	files := map[string]file{}
	for _, f := range p.files {
		files[f.name] = f
	}
	headers := make([]*header, len(r.headers))
	for i, h := range r.headers {
		own := *h
		own.file = files[h.file.name]
		headers[i] = &own
	}
	return headers
}

func (m *memory) put(p *Place) {
	m.Lock()
	defer m.Unlock()
	if m.headers += len(p.headers) + 1; m.headers > maxKnown {
		clear(m.places)
		m.headers = len(p.headers) + 1
	}
	m.places[p.address] = remembered{p.info, p.headers}
}
