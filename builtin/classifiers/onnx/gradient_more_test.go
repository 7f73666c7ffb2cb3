package onnx

// moreCases are operators that prepare features, machines of support vectors,
// sums of products and norms.
func moreCases() []gradientCase {
	equation := func(e string) attrs { return attrs{"equation": word(e)} }
	vectors := reals(1, -2, 0.5, 1, 1, 2, -1, 0.3, -0.7, 0.2, 0.6, -1.2, 0.9, 0.1)
	svm := func(kind string, more attrs) attrs {
		a := attrs{"kernel_type": word(kind), "kernel_params": reals(0.4, 1.5, 2), "classlabels_ints": whole(0, 1, 2), "vectors_per_class": whole(2, 3, 2),
			"support_vectors": vectors, "rho": reals(0.2, -0.1, 0.3),
			"coefficients": reals(0.5, 1, -0.3, -0.6, -0.8, 0.4, -0.9, 0.7, 0.2, 0.9, -0.4, 0.5, -0.3, -0.2)}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	platt := attrs{"prob_a": reals(-1.1, -0.8, -1.4), "prob_b": reals(0.1, -0.2, 0.05)}
	rows := []*value{shape(4, 2)}
	return []gradientCase{
		{op: "ArrayFeatureExtractor", domain: domainML, in: []*value{shape(3, 4), integers(2, 0, 2)}},
		{op: "ArrayFeatureExtractor", name: "vector", domain: domainML, in: []*value{shape(4), integers(1)}},
		{op: "Imputer", domain: domainML, in: []*value{numbers(1, 2, 3)}, attrs: attrs{"imputed_value_floats": reals(5), "replaced_value_float": real32(2)}},
		{op: "Imputer", name: "per column", domain: domainML, in: []*value{shape(3, 2)}, attrs: attrs{"imputed_value_floats": reals(5, 6)}},
		{op: "FeatureVectorizer", domain: domainML, in: []*value{shape(3, 2), shape(3, 1)}},
		{op: "SVMClassifier", name: "linear", domain: domainML, in: rows, attrs: svm("LINEAR", nil)},
		{op: "SVMClassifier", name: "polynomial", domain: domainML, in: rows, attrs: svm("POLY", nil)},
		{op: "SVMClassifier", name: "sigmoid", domain: domainML, in: rows, attrs: svm("SIGMOID", nil)},
		{op: "SVMClassifier", name: "radial", domain: domainML, in: rows, attrs: svm("RBF", nil)},
		{op: "SVMClassifier", name: "probabilities", domain: domainML, in: rows, attrs: svm("RBF", platt)},
		{op: "SVMClassifier", name: "two classes", domain: domainML, in: rows, attrs: attrs{"kernel_params": reals(1, 0, 0), "classlabels_ints": whole(0, 1),
			"vectors_per_class": whole(1, 1), "support_vectors": reals(1, 2, -1, 0.5), "coefficients": reals(0.7, -0.7), "rho": reals(0.1), "post_transform": word("LOGISTIC")}},
		{op: "SVMClassifier", name: "scores", domain: domainML, in: rows, attrs: attrs{"classlabels_ints": whole(0, 1, 2), "coefficients": reals(1, -2, 0.5, 1, 1, 2), "rho": reals(0.3)}},
		{op: "Einsum", name: "matrix", in: []*value{shape(3, 4), shape(4, 5)}, attrs: equation("ij,jk->ik")},
		{op: "Einsum", name: "batch", in: []*value{shape(2, 3, 4), shape(2, 4, 5)}, attrs: equation("bij, bjk")},
		{op: "Einsum", name: "ellipsis", in: []*value{shape(2, 1, 3, 4), shape(5, 4, 3)}, attrs: equation("...ij,...ji->...i")},
		{op: "Einsum", name: "attention", in: []*value{shape(2, 3, 2, 4), shape(2, 5, 2, 4)}, attrs: equation("bqhd,bkhd->bhqk")},
		{op: "Einsum", name: "diagonal", in: []*value{shape(3, 3, 2)}, attrs: equation("iij->j")},
		{op: "Einsum", name: "diagonal beside a longer ellipsis", in: []*value{shape(4, 2, 3), shape(1, 5, 5)}, attrs: equation("...i,...jj->...ij")},
		{op: "Einsum", name: "trace", in: []*value{shape(4, 4)}, attrs: equation("ii")},
		{op: "Einsum", name: "three", in: []*value{shape(2, 3), shape(3, 4), shape(4)}, attrs: equation("ab,bc,c->ac")},
		{op: "Einsum", name: "outer", in: []*value{shape(3), shape(4)}, attrs: equation("i,j->ji")},
		{op: "Attention", in: []*value{shape(2, 4, 3, 5), shape(2, 2, 4, 5), shape(2, 2, 4, 3)}, version: 23},
		{op: "Attention", name: "side by side", in: []*value{shape(2, 3, 8), shape(2, 3, 8), shape(2, 3, 6), {kind: boolean, shape: []int{3, 3}, i: []int64{1, 0, 1, 1, 1, 0, 1, 1, 1}}},
			attrs: attrs{"q_num_heads": whole(2), "kv_num_heads": whole(2), "is_causal": whole(1), "softcap": real32(2), "scale": real32(0.7)}, version: 23},
		{op: "LpNormalization", in: []*value{shape(3, 4)}}, {op: "LpNormalization", name: "p1", in: []*value{shape(2, 3, 4)}, attrs: attrs{"p": whole(1), "axis": whole(1)}, lo: 0.3, hi: 2},
		{op: "RMSNormalization", in: []*value{shape(3, 4), shape(4)}}, {op: "RMSNormalization", name: "two axes", in: []*value{shape(2, 3, 4), shape(3, 4)}, attrs: attrs{"axis": whole(1)}},
		{op: "Swish", name: "alpha", in: []*value{shape(12)}, attrs: attrs{"alpha": real32(1.7)}},
	}
}
