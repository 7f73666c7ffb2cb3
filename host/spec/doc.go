// Package spec is the YAML machine: it reads files into structs, strictly, with
// file, line and column in every error and all errors at once, and it writes,
// explains and describes such structs by the same tags. What a file declares is
// the business of the packages that own the structs. It is the only importer of
// a YAML library.
package spec
