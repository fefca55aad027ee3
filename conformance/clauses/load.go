// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Part is what one protocol contributes to a catalogue.
type Part struct {
	Dialects []Dialect // which its clauses may name
	// Areas is the order in which people read the areas. An area that is not named here comes after those that are, by name.
	Areas []string
	Files fs.FS // every .yaml file in it is an area
}

// areaFile is one data file.
type areaFile struct {
	Area     string    `yaml:"area"`
	Title    string    `yaml:"title"`
	Dialects []Dialect `yaml:"dialects,flow"` // of every clause that names none
	Clauses  []Clause  `yaml:"clauses"`

	Withdrawn []Withdrawal `yaml:"withdrawn,omitempty"`
}

// Problem is one mistake in a data file.
type Problem struct {
	File   string // path of the data file
	Clause string // id, or "" when the mistake is not in one clause
	Field  string // yaml name of the field, or ""
	Reason string // what is wrong, with the value
}

// Error says where the mistake is and what it is, in one line.
func (p *Problem) Error() string {
	where := p.File
	if p.Clause != "" {
		where += ": " + p.Clause
	}
	if p.Field != "" {
		where += ": " + p.Field
	}
	return "clause catalogue: " + where + ": " + p.Reason
}

// New builds a catalogue from the parts of protocols, in their order. All mistakes are returned together, each a [*Problem].
func New(parts ...Part) (*Catalogue, error) {
	var files []areaFile
	var problems []error
	seen := make(map[string]string) // clause id or area name -> file
	for _, part := range parts {
		read, err := part.read(seen)
		files, problems = append(files, read...), append(problems, err...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	catalogue := &Catalogue{byID: make(map[string]int)}
	for _, file := range files {
		catalogue.areas = append(catalogue.areas, Area{Name: file.Area, Title: file.Title, Count: len(file.Clauses)})
		for _, clause := range file.Clauses {
			catalogue.byID[clause.ID] = len(catalogue.clauses)
			catalogue.clauses = append(catalogue.clauses, clause)
		}
		catalogue.withdrawn = append(catalogue.withdrawn, file.Withdrawn...)
	}
	if problems := catalogue.checkSuccessors(); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return catalogue, nil
}

// MustNew is New for package initialisation and tests: it panics if a part has a mistake.
func MustNew(parts ...Part) *Catalogue {
	catalogue, err := New(parts...)
	if err != nil {
		panic(err)
	}
	return catalogue
}

// read gives the areas of a part in their order, and all mistakes. seen is added to.
func (p Part) read(seen map[string]string) ([]areaFile, []error) {
	var files []areaFile
	var problems []error
	err := fs.WalkDir(p.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		file, err := readArea(p.Files, name)
		if err != nil {
			problems = append(problems, err)
			return nil
		}
		file.fillDefaults()
		problems = append(problems, file.validate(name, p.Dialects, seen)...)
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, []error{fmt.Errorf("clause catalogue: list data files: %w", err)}
	}
	if len(files)+len(problems) == 0 {
		return nil, []error{&Problem{File: ".", Reason: "no .yaml files"}}
	}
	slices.SortStableFunc(files, func(a, b areaFile) int { return p.rank(a.Area) - p.rank(b.Area) })
	return files, problems
}

func readArea(fsys fs.FS, name string) (areaFile, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return areaFile{}, fmt.Errorf("clause catalogue: open data file: %w", err)
	}
	defer file.Close()

	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	var area areaFile
	if err := decoder.Decode(&area); err != nil {
		return areaFile{}, &Problem{File: name, Reason: err.Error()}
	}
	if err := decoder.Decode(new(areaFile)); !errors.Is(err, io.EOF) {
		return areaFile{}, &Problem{File: name, Reason: "more than one YAML document"}
	}
	return area, nil
}

func (f *areaFile) fillDefaults() {
	for i := range f.Clauses {
		clause := &f.Clauses[i]
		clause.Area, clause.AreaTitle = f.Area, f.Title
		if clause.Scope == "" {
			clause.Scope = ProtocolScope
		}
		if len(clause.Dialects) == 0 {
			clause.Dialects = f.Dialects
		}
	}
}

// rank is the place of an area in the order.
func (p Part) rank(area string) int {
	if rank := slices.Index(p.Areas, area); rank >= 0 {
		return rank
	}
	return len(p.Areas)
}
