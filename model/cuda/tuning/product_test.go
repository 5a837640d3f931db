package tuning

import (
	"slices"
	"testing"
)

// TestWeightGrad checks that every weight gradient that programs may have finds a
// product, and that cards take it.
func TestWeightGrad(t *testing.T) {
	for _, taps := range [][3]int{{1, 1, 1}, {1, 3, 3}, {3, 3, 3}, {3, 1, 3}, {1, 1, 2}, {2, 2, 2}} {
		for _, stride := range [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 1, 1}, {1, 1, 2}, {1, 2, 1}} {
			for _, rows := range []int{2, 16, 17, 320} {
				for _, columns := range []int{1, 16, 27, 64, 320} {
					for _, width := range []int{1, 6, 12, 24, 192} {
						p, ok := WeightGrad(taps, stride, [2]int{rows, columns}, [3]int{5, 9, width})
						if !ok {
							t.Fatalf("none for taps %v, stride %v, %d and %d channels, width %d", taps, stride, rows, columns, width)
						}
						if n := p.Threads(taps); n > 1024 || n*p.Blocks > 2048 || p.Shared(taps, stride) > MostShared {
							t.Errorf("taps %v, stride %v, width %d: %+v takes more than a card has", taps, stride, width, p)
						}
						if n := p.Tiles([3]int{5, 9, width}); n*p.height()*p.Width < 9*width {
							t.Errorf("%+v: %d tiles leave voxels of width %d out", p, n, width)
						}
					}
				}
			}
		}
	}
}

// TestProductNeighbours walks through all products that can be reached from the table's: cards
// must take them, and from each the way back must be open.
func TestProductNeighbours(t *testing.T) {
	for _, r := range ProductRules() {
		first := r.Product
		seen, open := map[Product]bool{}, []Product{first}
		for len(open) > 0 {
			r.Product = open[0]
			if open = open[1:]; seen[r.Product] {
				continue
			}
			seen[r.Product] = true
			for _, n := range r.Neighbours() {
				if n.Threads(r.Kernel) > 1024 || n.Threads(r.Kernel)*n.Blocks > 2048 || n.Shared(r.Kernel, r.Stride) > MostShared || n.Width != 16 {
					t.Fatalf("%+v is no product for a card", n)
				}
				back := r
				if back.Product = n; r.takes(r.Product) && !slices.Contains(back.Neighbours(), r.Product) {
					t.Fatalf("%+v leads to %+v but not back", r, n)
				}
				open = append(open, n)
			}
		}
		if len(seen) < 6 {
			t.Errorf("%+v of kernel %v reaches %d products", first, r.Kernel, len(seen))
		}
	}
}
