package graph

// The operators that exports use, named by what they do.

func (b *Builder) one(kind string, x Value) Value    { return b.Op(kind, []Value{x}) }
func (b *Builder) two(kind string, x, y Value) Value { return b.Op(kind, []Value{x, y}) }

// Add is x + y, with sizes of 1 spread as NumPy does, as in all of two tensors here.
func (b *Builder) Add(x, y Value) Value { return b.two("Add", x, y) }

// Sub is x − y.
func (b *Builder) Sub(x, y Value) Value { return b.two("Sub", x, y) }

// Mul is x·y, number by number.
func (b *Builder) Mul(x, y Value) Value { return b.two("Mul", x, y) }

// Div is x/y.
func (b *Builder) Div(x, y Value) Value { return b.two("Div", x, y) }

// MatMul is the matrix product over the last two dimensions.
func (b *Builder) MatMul(x, y Value) Value { return b.two("MatMul", x, y) }

// Max is the larger of x and y, number by number.
func (b *Builder) Max(x, y Value) Value { return b.two("Max", x, y) }

// Exp is e^x.
func (b *Builder) Exp(x Value) Value { return b.one("Exp", x) }

// Log is ln x.
func (b *Builder) Log(x Value) Value { return b.one("Log", x) }

// Neg is −x.
func (b *Builder) Neg(x Value) Value { return b.one("Neg", x) }

// Abs is |x|.
func (b *Builder) Abs(x Value) Value { return b.one("Abs", x) }

// Sqrt is √x.
func (b *Builder) Sqrt(x Value) Value { return b.one("Sqrt", x) }

// Greater is x > y.
func (b *Builder) Greater(x, y Value) Value { return b.two("Greater", x, y) }

// AtLeast is x ≥ y.
func (b *Builder) AtLeast(x, y Value) Value { return b.two("GreaterOrEqual", x, y) }

// Or is x ∨ y.
func (b *Builder) Or(x, y Value) Value { return b.two("Or", x, y) }

// Where is x where c holds, else y.
func (b *Builder) Where(c, x, y Value) Value { return b.Op("Where", []Value{c, x, y}) }

// Cast gives x another type.
func (b *Builder) Cast(x Value, t Type) Value { return b.Op("Cast", []Value{x}, I("to", int(t))) }

// Sum is the sum of x over dimensions, which go.
func (b *Builder) Sum(x Value, axes ...int) Value {
	return b.Op("ReduceSum", []Value{x, b.Ints(axes...)}, I("keepdims", 0))
}

// Mean is the mean of x, which has n numbers along the dimensions, which go.
func (b *Builder) Mean(x Value, t Type, n int, axes ...int) Value {
	return b.Div(b.Sum(x, axes...), b.Number(t, float64(n)))
}

// Number is a constant number of a type, Float or Double.
func (b *Builder) Number(t Type, v float64) Value {
	if t == Float {
		return b.Floats([]float32{float32(v)})
	}
	return b.Doubles([]float64{v})
}

// ArgMax is the place of the largest of x along a dimension, which goes; the first of
// equals.
func (b *Builder) ArgMax(x Value, axis int) Value {
	return b.Op("ArgMax", []Value{x}, I("axis", axis), I("keepdims", 0), I("select_last_index", 0))
}

// Reshape gives x other sizes; one may be −1, and a 0 keeps that of x at its place.
func (b *Builder) Reshape(x Value, sizes ...int) Value {
	return b.Op("Reshape", []Value{x, b.Ints(sizes...)})
}

// Batch is Reshape of every example: the number of examples stays.
func (b *Builder) Batch(x Value, sizes ...int) Value {
	return b.Reshape(x, append([]int{-1}, sizes...)...)
}

// Transpose orders the dimensions anew.
func (b *Builder) Transpose(x Value, order ...int) Value {
	return b.Op("Transpose", []Value{x}, Is("perm", order...))
}

// Planes brings images to channels first, and Images back.
func (b *Builder) Planes(x Value) Value { return b.Transpose(x, 0, 3, 1, 2) }

// Images brings channels to the end.
func (b *Builder) Images(x Value) Value { return b.Transpose(x, 0, 2, 3, 1) }

// Unsqueeze puts in a dimension of size 1.
func (b *Builder) Unsqueeze(x Value, axis int) Value {
	return b.Op("Unsqueeze", []Value{x, b.Ints(axis)})
}

// Concat puts tensors one after the other along a dimension.
func (b *Builder) Concat(axis int, x ...Value) Value { return b.Op("Concat", x, I("axis", axis)) }

// Slice is from ≤ i < to of a dimension.
func (b *Builder) Slice(x Value, axis, from, to int) Value {
	return b.Op("Slice", []Value{x, b.Ints(from), b.Ints(to), b.Ints(axis)})
}

// Gather takes the places at, of type Int64, along a dimension.
func (b *Builder) Gather(x, at Value, axis int) Value {
	return b.Op("Gather", []Value{x, at}, I("axis", axis))
}

// Pick takes along the last dimension of x, (…, k), the one place at, (…), that each
// has its own of; the dimension goes.
func (b *Builder) Pick(x, at Value) Value {
	v := b.Op("GatherElements", []Value{x, b.Unsqueeze(at, -1)}, I("axis", -1))
	return b.Op("Squeeze", []Value{v, b.Ints(-1)})
}

// LogSoftmax is x − ln Σ exp x over the last dimension.
func (b *Builder) LogSoftmax(x Value) Value { return b.Op("LogSoftmax", []Value{x}, I("axis", -1)) }

// NotFinite tells for each example of x, (n, …) of so many dimensions, whether any of
// its numbers is NaN or infinite.
func (b *Builder) NotFinite(x Value) Value {
	flat := b.Op("Flatten", []Value{x}, I("axis", 1))
	zero := b.Sub(flat, flat) // NaN where it is not finite
	return b.Greater(b.Sum(b.Cast(b.one("IsNaN", zero), Float), 1), b.Number(Float, 0))
}

// Mix are images, (n, h, w, c) with example the last three, whose rows and columns are
// made of others by matrices, (h', h) and (w', w): any separable resampling.
func (b *Builder) Mix(x Value, example []int, rows, cols []float32) Value {
	h, w, c := example[0], example[1], example[2]
	tall, wide := len(rows)/h, len(cols)/w
	y := b.MatMul(b.Floats(cols, wide, w), b.Reshape(x, -1, w, c)) // (n·h, w', c)
	y = b.MatMul(b.Floats(rows, tall, h), b.Reshape(y, -1, h, wide*c))
	return b.Batch(y, tall, wide, c)
}
