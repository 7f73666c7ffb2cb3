package spec

// Judge checks a file as written, variables unexpanded, against a schema: what
// an editor does.
func Judge(schema []byte, file string) Errors {
	data, err := readFile(file)
	if err != nil {
		panic(err)
	}
	root, err := readSchema(schema)
	if err != nil {
		panic(err)
	}
	n, errs := growYAML(file, data, func(k string) (string, bool) { return "${" + k + "}", true })
	c := &checker{root: root, file: file, errs: errs, steps: new(int)}
	c.check(root, n, "", 0)
	return c.errs
}
