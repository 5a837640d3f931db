// Package view shows scans with their labels in a browser of this machine.
//
// It answers HTTP on a loopback address: one page, the viewer NiiVue (see niivue/ORIGIN.md) and the
// cases that it was given, by number, so that no request names a file. Whatever a scan is stored as is
// read as everywhere else and sent as NIfTI without anything that its header says beside the grid. The
// page asks for nothing else and works without a network.
package view

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"path"
	"strconv"
	"time"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/report"
)

var (
	//go:embed page
	page embed.FS
	//go:embed niivue/niivue.umd.js.gz
	niivue []byte
)

// Case is a scan and what is drawn over it, by address.
type Case struct {
	ID         string
	Scan       string
	Labels     string // or ""
	References string // labels to compare with, or ""
}

// Server answers for some cases.
type Server struct {
	cases  []Case
	labels []cases.Label
	key    string        // first part of every path
	turn   chan struct{} // one volume is in memory at a time
}

// New is a server of cases, whose classes have the names of labels; a class without a name is shown by
// its number.
func New(list []Case, labels []cases.Label) *Server {
	return &Server{list, labels, rand.Text(), make(chan struct{}, 1)}
}

// Path is where the page lies. It cannot be guessed: other users of the machine reach the port, too.
func (s *Server) Path() string { return "/" + s.key + "/" }

// Serve answers at a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

// Handler answers GET below Path, to those who call this machine by a name of its own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", file("page/index.html"))
	mux.HandleFunc("GET /view.js", file("page/view.js"))
	mux.HandleFunc("GET /view.css", file("page/view.css"))
	mux.HandleFunc("GET /niivue.js", func(w http.ResponseWriter, _ *http.Request) { send(w, "text/javascript", niivue) })
	mux.HandleFunc("GET /cases.json", s.listed)
	mux.HandleFunc("GET /case/{number}/{layer}", s.volume)
	return guarded(http.StripPrefix("/"+s.key, mux))
}

// guarded refuses requests by another host's name, which are of a page from elsewhere whose name leads
// here, and tells browsers that the page needs nothing but itself.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if host != "localhost" && !net.ParseIP(host).IsLoopback() {
			http.Error(w, "view: this address is called localhost or 127.0.0.1, nothing else", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' blob: data:; img-src 'self' blob: data:; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// file answers with a part of the page.
func file(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := fs.ReadFile(page, name)
		if err != nil {
			panic(err) // it is embedded
		}
		w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
		_, _ = w.Write(data) // a browser that has gone misses nothing
	}
}

// send answers with bytes that are gzip.
func send(w http.ResponseWriter, kind string, packed []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
	_, _ = w.Write(packed)
}

// listed tells the page what there is.
func (s *Server) listed(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		ID     string   `json:"id"`
		Layers []string `json:"layers"`
	}
	all := struct {
		Cases   []entry       `json:"cases"`
		Labels  []cases.Label `json:"labels"`
		Colours []string      `json:"colours"` // by class
	}{Labels: append([]cases.Label{}, s.labels...)}
	for _, c := range s.cases {
		e := entry{c.ID, []string{}}
		for _, name := range layerNames {
			if layers[name].has(c) {
				e.Layers = append(e.Layers, name)
			}
		}
		all.Cases = append(all.Cases, e)
	}
	for class := range 256 {
		c := report.Colour(class)
		all.Colours = append(all.Colours, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}

// volume answers with one layer of a case.
func (s *Server) volume(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	l, known := layers[r.PathValue("layer")]
	if err != nil || number < 0 || number >= len(s.cases) || !known || !l.has(s.cases[number]) {
		http.NotFound(w, r)
		return
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return
	}
	var b bytes.Buffer
	if err := l.write(r.Context(), &b, s.cases[number]); err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	send(w, "application/octet-stream", b.Bytes())
}
