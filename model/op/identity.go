package op

import (
	"hash"

	"github.com/chewxy/hm"
)

// What Gorgonia asks of every op besides shape, gradient and value: the number of
// inputs, their ranks (followed by that of the output), and an identity that
// contains all fields.

// Arity implements gorgonia.Op.
func (o Conv) Arity() int { return 3 }

// Type implements gorgonia.Op.
func (o Conv) Type() hm.Type { return signature(5, 5, 1, 5) }

// WriteHash implements gorgonia.Op.
func (o Conv) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o Conv) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o Conv) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o ConvDataGrad) Arity() int { return 2 }

// Type implements gorgonia.Op.
func (o ConvDataGrad) Type() hm.Type { return signature(5, 5, 5) }

// WriteHash implements gorgonia.Op.
func (o ConvDataGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o ConvDataGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o ConvDataGrad) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o ConvWeightGrad) Arity() int { return 2 }

// Type implements gorgonia.Op.
func (o ConvWeightGrad) Type() hm.Type { return signature(5, 5, 5) }

// WriteHash implements gorgonia.Op.
func (o ConvWeightGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o ConvWeightGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o ConvWeightGrad) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o BiasGrad) Arity() int { return 1 }

// Type implements gorgonia.Op.
func (o BiasGrad) Type() hm.Type { return signature(5, 1) }

// WriteHash implements gorgonia.Op.
func (o BiasGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o BiasGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o BiasGrad) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o ConvTransposed) Arity() int { return 3 }

// Type implements gorgonia.Op.
func (o ConvTransposed) Type() hm.Type { return signature(5, 5, 1, 5) }

// WriteHash implements gorgonia.Op.
func (o ConvTransposed) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o ConvTransposed) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o ConvTransposed) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o ConvTransposedDataGrad) Arity() int { return 2 }

// Type implements gorgonia.Op.
func (o ConvTransposedDataGrad) Type() hm.Type { return signature(5, 5, 5) }

// WriteHash implements gorgonia.Op.
func (o ConvTransposedDataGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o ConvTransposedDataGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o ConvTransposedDataGrad) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o ConvTransposedWeightGrad) Arity() int { return 2 }

// Type implements gorgonia.Op.
func (o ConvTransposedWeightGrad) Type() hm.Type { return signature(5, 5, 5) }

// WriteHash implements gorgonia.Op.
func (o ConvTransposedWeightGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o ConvTransposedWeightGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o ConvTransposedWeightGrad) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o Moments) Arity() int { return 1 }

// Type implements gorgonia.Op.
func (o Moments) Type() hm.Type { return signature(5, 3) }

// WriteHash implements gorgonia.Op.
func (o Moments) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o Moments) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o Moments) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o NormAct) Arity() int { return 4 }

// Type implements gorgonia.Op.
func (o NormAct) Type() hm.Type { return signature(5, 3, 1, 1, 5) }

// WriteHash implements gorgonia.Op.
func (o NormAct) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o NormAct) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o NormAct) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o NormGrad) Arity() int { return 5 }

// Type implements gorgonia.Op.
func (o NormGrad) Type() hm.Type {
	if o.Part == Data {
		return signature(5, 3, 1, 1, 5, 5)
	}
	return signature(5, 3, 1, 1, 5, 1)
}

// WriteHash implements gorgonia.Op.
func (o NormGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o NormGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o NormGrad) String() string { return text(o) }

// WriteHash implements gorgonia.Op.
func (o Concat) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o Concat) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o Concat) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o Slice) Arity() int { return 1 }

// Type implements gorgonia.Op.
func (o Slice) Type() hm.Type { return signature(5, 5) }

// WriteHash implements gorgonia.Op.
func (o Slice) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o Slice) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o Slice) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o LabelsNearest) Arity() int { return 1 }

// Type implements gorgonia.Op.
func (o LabelsNearest) Type() hm.Type { return signature(4, 4) }

// WriteHash implements gorgonia.Op.
func (o LabelsNearest) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o LabelsNearest) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o LabelsNearest) String() string { return text(o) }

// WriteHash implements gorgonia.Op.
func (o DiceCE) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o DiceCE) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o DiceCE) String() string { return text(o) }

// WriteHash implements gorgonia.Op.
func (o DiceCEGrad) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o DiceCEGrad) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o DiceCEGrad) String() string { return text(o) }

// WriteHash implements gorgonia.Op.
func (o WeightedSum) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o WeightedSum) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o WeightedSum) String() string { return text(o) }

// Arity implements gorgonia.Op.
func (o Scale) Arity() int { return 1 }

// Type implements gorgonia.Op.
func (o Scale) Type() hm.Type { return signature(1, 1) }

// WriteHash implements gorgonia.Op.
func (o Scale) WriteHash(h hash.Hash) { writeHash(h, o) }

// Hashcode implements gorgonia.Op.
func (o Scale) Hashcode() uint32 { return hashcode(o) }

// String implements gorgonia.Op.
func (o Scale) String() string { return text(o) }
