package statistics

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Line is one organ of one scan as it stands in statistics.csv and statistics.parquet.
type Line struct {
	Case       string  `parquet:"case,dict"`
	Label      int32   `parquet:"label"`
	Organ      string  `parquet:"organ,dict"`
	Voxels     int64   `parquet:"voxels"`
	VolumeML   float64 `parquet:"volume_ml"`
	MeanHU     float64 `parquet:"mean_hu"`
	SDHU       float64 `parquet:"sd_hu"`
	Z0         int32   `parquet:"z0"` // box: first voxel, and the one after the last
	Z1         int32   `parquet:"z1"`
	Y0         int32   `parquet:"y0"`
	Y1         int32   `parquet:"y1"`
	X0         int32   `parquet:"x0"`
	X1         int32   `parquet:"x1"`
	RightMM    float64 `parquet:"centroid_right_mm"`
	AnteriorMM float64 `parquet:"centroid_anterior_mm"`
	SuperiorMM float64 `parquet:"centroid_superior_mm"`
	Touches    string  `parquet:"touches,dict"` // faces, separated by blanks
	Pieces     int32   `parquet:"pieces"`
	SecondML   float64 `parquet:"second_piece_ml"`
	Flags      string  `parquet:"flags,dict"` // kinds, separated by blanks
}

// header is the columns of statistics.csv, those of the parquet file.
var header = strings.Fields("case label organ voxels volume_ml mean_hu sd_hu z0 z1 y0 y1 x0 x1 " +
	"centroid_right_mm centroid_anterior_mm centroid_superior_mm touches pieces second_piece_ml flags")

// Lines spreads scans over lines, by case and label.
func Lines(rows []Row, flags []Flag) []Line {
	kinds := map[[2]string][]string{}
	for _, f := range flags {
		key := [2]string{f.Case, f.Organ}
		kinds[key] = append(kinds[key], string(f.Kind))
	}
	var lines []Line
	for _, r := range sorted(rows) {
		for _, o := range r.Organs {
			lines = append(lines, Line{
				Case: r.Case, Label: int32(o.Label), Organ: o.Name, Voxels: o.Voxels, VolumeML: o.VolumeML, MeanHU: o.MeanHU, SDHU: o.SDHU,
				Z0: int32(o.Box.Lo[0]), Z1: int32(o.Box.Hi[0]), Y0: int32(o.Box.Lo[1]), Y1: int32(o.Box.Hi[1]), X0: int32(o.Box.Lo[2]), X1: int32(o.Box.Hi[2]),
				RightMM: o.CentroidMM[0], AnteriorMM: o.CentroidMM[1], SuperiorMM: o.CentroidMM[2],
				Touches: strings.Join(o.Touches, " "), Pieces: int32(o.Pieces), SecondML: o.SecondML, Flags: strings.Join(kinds[[2]string{r.Case, o.Name}], " "),
			})
		}
	}
	return lines
}

// CSV writes lines for people and spreadsheets: three decimals.
func CSV(lines []Line) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(header) // errors are kept until Flush
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	for _, l := range lines {
		whole := func(v int32) string { return strconv.Itoa(int(v)) }
		w.Write([]string{
			l.Case, whole(l.Label), l.Organ, strconv.FormatInt(l.Voxels, 10), number(l.VolumeML), number(l.MeanHU), number(l.SDHU),
			whole(l.Z0), whole(l.Z1), whole(l.Y0), whole(l.Y1), whole(l.X0), whole(l.X1),
			number(l.RightMM), number(l.AnteriorMM), number(l.SuperiorMM), l.Touches, whole(l.Pieces), number(l.SecondML), l.Flags,
		})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// Parquet writes lines for programs, compressed with zstd.
func Parquet(lines []Line) ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[Line](&b, parquet.Compression(&parquet.Zstd))
	if _, err := w.Write(lines); err != nil {
		return nil, fmt.Errorf("statistics: write parquet: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("statistics: write parquet: %w", err)
	}
	return b.Bytes(), nil
}

// flagsCSV lists flags, by case and organ.
func flagsCSV(flags []Flag) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"case", "organ", "flag", "message"})
	for _, f := range flags {
		w.Write([]string{f.Case, f.Organ, string(f.Kind), f.Message})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// sorted returns rows by case.
func sorted(rows []Row) []Row {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Case, b.Case) })
	return rows
}
