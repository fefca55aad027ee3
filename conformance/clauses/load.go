// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed data/*.yaml
var dataFiles embed.FS

// areaOrder is the order in which people read the areas: transport before block layer, SRP last. An area that is not
// named here comes after those that are, by name.
var areaOrder = []string{
	"IBTRS-CONN", "IBTRS-INFO", "IBTRS-IMM", "IBTRS-IO", "IBTRS-INV", "IBTRS-HB", "IBTRS-PATH", "IBTRS-MP", "IBTRS-SYSFS",
	"IBNBD-MSG", "IBNBD-OPEN", "IBNBD-IO", "IBNBD-COMPAT", "IBNBD-SYSFS", "IBNBD-FAIL", "IBNBD-LIM",
	"SRP-LOGIN", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-LOGOUT",
	"SRP-SYSFS", "SRP-STATE", "SRP-TMO", "SRP-RECON", "SRP-MP", "SRP-TGT", "SRP-ROB",
}

// areaFile is one data file.
type areaFile struct {
	Area     string    `yaml:"area"`
	Title    string    `yaml:"title"`
	Dialects []Dialect `yaml:"dialects,flow"` // of every clause that names none
	Clauses  []Clause  `yaml:"clauses"`
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

// LoadFS builds a catalogue from every .yaml file below fsys. All mistakes are returned together, each a [*Problem].
func LoadFS(fsys fs.FS) (*Catalogue, error) {
	files, err := readAreas(fsys)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(files, func(a, b areaFile) int { return areaRank(a.Area) - areaRank(b.Area) })

	catalogue := &Catalogue{byID: make(map[string]int)}
	for _, file := range files {
		catalogue.areas = append(catalogue.areas, Area{Name: file.Area, Title: file.Title, Count: len(file.Clauses)})
		for _, clause := range file.Clauses {
			catalogue.byID[clause.ID] = len(catalogue.clauses)
			catalogue.clauses = append(catalogue.clauses, clause)
		}
	}
	return catalogue, nil
}

func readAreas(fsys fs.FS) ([]areaFile, error) {
	var files []areaFile
	var problems []error
	seen := make(map[string]string) // clause id or area name -> file
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		file, err := readArea(fsys, name)
		if err != nil {
			problems = append(problems, err)
			return nil
		}
		file.fillDefaults()
		problems = append(problems, file.validate(name, seen)...)
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("clause catalogue: list data files: %w", err)
	}
	if len(files)+len(problems) == 0 {
		return nil, &Problem{File: ".", Reason: "no .yaml files"}
	}
	return files, errors.Join(problems...)
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

func areaRank(area string) int {
	if rank := slices.Index(areaOrder, area); rank >= 0 {
		return rank
	}
	return len(areaOrder)
}
