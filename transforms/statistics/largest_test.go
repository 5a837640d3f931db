package statistics

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// largestByDefinition floods each piece, voxel by voxel.
func largestByDefinition(labels []uint8, shape [3]int, of []int) []uint8 {
	out := slices.Clone(labels)
	for _, label := range of {
		piece, sizes := make([]int, len(labels)), []int{0}
		for i, l := range labels {
			if int(l) != label || piece[i] != 0 {
				continue
			}
			sizes = append(sizes, 0)
			for todo := []int{i}; len(todo) > 0; {
				at := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				if piece[at] != 0 {
					continue
				}
				piece[at] = len(sizes) - 1
				sizes[len(sizes)-1]++
				z, y, x := at/(shape[1]*shape[2]), at/shape[2]%shape[1], at%shape[2]
				for k := range 27 {
					nz, ny, nx := z+k/9-1, y+k/3%3-1, x+k%3-1
					if nz < 0 || ny < 0 || nx < 0 || nz >= shape[0] || ny >= shape[1] || nx >= shape[2] {
						continue
					}
					if to := (nz*shape[1]+ny)*shape[2] + nx; int(labels[to]) == label {
						todo = append(todo, to)
					}
				}
			}
		}
		for i, p := range piece {
			if p != 0 && sizes[p] < slices.Max(sizes) {
				out[i] = 0
			}
		}
	}
	return out
}

func TestKeepLargestByDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 80 {
		shape := [3]int{1 + random.IntN(6), 1 + random.IntN(7), 1 + random.IntN(9)}
		labels := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range labels {
			if random.IntN(2+round%5) == 0 {
				labels[i] = uint8(random.IntN(4))
			}
		}
		for _, of := range [][]int{nil, {2}, {1, 3}, {200}} {
			want, got := largestByDefinition(labels, shape, of), slices.Clone(labels)
			removed := KeepLargest(got, shape, of)
			changed := int64(0)
			for i := range got {
				if got[i] != labels[i] {
					changed++
				}
			}
			if !slices.Equal(got, want) || removed != changed {
				t.Fatalf("round %d, %v of %v: %d removed, %d changed\n%v\n%v", round, of, shape, removed, changed, got, want)
			}
		}
	}
}

// Pieces that meet in a corner are one; of two that are equal both stay, as in nnU-Net.
func TestKeepLargestConnectivity(t *testing.T) {
	for _, c := range []struct{ labels, want []uint8 }{
		{[]uint8{1, 0, 0, 0, 1, 0, 0, 0, 1}, []uint8{1, 0, 0, 0, 1, 0, 0, 0, 1}},
		{[]uint8{1, 0, 1, 1, 0, 0, 0, 0, 2}, []uint8{1, 0, 0, 1, 0, 0, 0, 0, 2}},
		{[]uint8{1, 0, 1, 1, 0, 1, 0, 0, 0}, []uint8{1, 0, 1, 1, 0, 1, 0, 0, 0}},
	} {
		if KeepLargest(c.labels, [3]int{1, 3, 3}, []int{1}); !slices.Equal(c.labels, c.want) {
			t.Errorf("got %v, want %v", c.labels, c.want)
		}
	}
}
