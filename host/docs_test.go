package host_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestDocumented holds that every exported function, method and type of the
// module has a doc comment that begins with its name, and that every exported
// constant and variable has a comment, its own or its group's.
func TestDocumented(t *testing.T) {
	fset := token.NewFileSet()
	checked := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name != ".." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, e := range exportedBy(decl) {
				checked++
				if !e.documented() {
					t.Errorf("%s: %s: its doc comment is %q, want one that begins with its name", fset.Position(e.pos), e.name, e.doc)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 1000 {
		t.Errorf("%d exported names found, want the whole module's", checked)
	}
}

// exported is one exported name and its documentation.
type exported struct {
	name, doc string
	pos       token.Pos
	grouped   bool // a constant or variable, whose comment need not name it
}

// documented reports whether the comment is there and begins with the name,
// an article aside.
func (e exported) documented() bool {
	if e.grouped || e.doc == "" {
		return e.doc != ""
	}
	doc := e.doc
	for _, article := range []string{"A ", "An ", "The "} {
		doc = strings.TrimPrefix(doc, article)
	}
	rest, ok := strings.CutPrefix(doc, e.name)
	return ok && (rest == "" || !unicode.IsLetter(rune(rest[0])) && !unicode.IsDigit(rune(rest[0])))
}

// exportedBy lists the exported names that a declaration makes; methods of
// unexported types are not among them.
func exportedBy(decl ast.Decl) (names []exported) {
	add := func(id *ast.Ident, grouped bool, docs ...*ast.CommentGroup) {
		if !id.IsExported() {
			return
		}
		e := exported{name: id.Name, pos: id.Pos(), grouped: grouped}
		for _, doc := range docs { // the nearest
			if e.doc == "" {
				e.doc = doc.Text()
			}
		}
		names = append(names, e)
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || receiver(d.Recv.List[0].Type).IsExported() {
			add(d.Name, false, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				add(s.Name, false, s.Doc, d.Doc)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					add(id, true, s.Doc, d.Doc, s.Comment)
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type, without pointer and parameters.
func receiver(t ast.Expr) *ast.Ident {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	}
	return t.(*ast.Ident)
}
