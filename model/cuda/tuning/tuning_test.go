package tuning

import (
	"slices"
	"testing"
)

// TestConv checks that every convolution that programs may have finds a tile, and that
// cards take it.
func TestConv(t *testing.T) {
	extents := [][3]int{{1, 1, 1}, {1, 3, 3}, {3, 3, 3}, {3, 1, 3}, {1, 1, 2}, {2, 2, 2}}
	for _, taps := range extents {
		for _, stride := range [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 1, 1}, {1, 1, 2}, {1, 2, 1}} {
			for _, channels := range []int{1, 14, 16, 17, 32, 64, 320} {
				for _, width := range []int{1, 6, 12, 24, 48, 96, 192} {
					tile, ok := Conv(taps, stride, channels, [3]int{5, 9, width})
					if !ok {
						t.Errorf("no tile for taps %v, stride %v, %d channels, width %d", taps, stride, channels, width)
						continue
					}
					if n := tile.Threads(); n > 1024 || n*tile.Blocks > 2048 || tile.Shared(taps, stride, 2*StageBytes) > MostShared {
						t.Errorf("taps %v, stride %v, width %d: %+v takes more than a card has", taps, stride, width, tile)
					}
					for a, n := range tile.Grid([3]int{5, 9, width}) {
						if size := [3]int{tile.Depth(), tile.Height(), tile.Width}[a]; n*size < [3]int{5, 9, width}[a] {
							t.Errorf("%+v: %d tiles along axis %d leave voxels of width %d out", tile, n, a, width)
						}
					}
				}
			}
		}
	}
}

// TestNeighbours walks through all tiles that can be reached from the table's: cards
// must take them, and from each the way back must be open.
func TestNeighbours(t *testing.T) {
	for _, r := range Rules() {
		seen, open := map[Tile]bool{}, []Tile{r.Tile}
		for len(open) > 0 {
			r.Tile = open[0]
			if open = open[1:]; seen[r.Tile] {
				continue
			}
			seen[r.Tile] = true
			for _, n := range r.Neighbours() {
				if n.Threads() > 1024 || n.Threads()*n.Blocks > 2048 || n.Shared(r.Kernel, r.Stride, 2*StageBytes) > MostShared || 16%n.Width != 0 {
					t.Fatalf("%+v is no tile for a card", n)
				}
				back := Rule{r.Kernel, r.Stride, r.Channels, r.Width, n}
				if r.takes(r.Tile) && !slices.Contains(back.Neighbours(), r.Tile) {
					t.Fatalf("%+v leads to %+v but not back", r.Tile, n)
				}
				open = append(open, n)
			}
		}
		if len(seen) < 20 {
			t.Errorf("%+v reaches %d tiles", r, len(seen))
		}
	}
}
