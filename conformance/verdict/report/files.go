// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Format is one form of report.
type Format struct {
	// Name is what the command's --format takes.
	Name string
	// File is the name of the report beside the journal.
	File string
	// Write writes the report.
	Write func(io.Writer, *verdict.Outcome) error
}

// Formats returns all forms of report.
func Formats() []Format { return FormatsWithMatrix(nil) }

// FormatsWithMatrix returns all forms of report; those that show a kill matrix show this one, if it is not nil.
func FormatsWithMatrix(m *matrix.Report) []Format {
	return []Format{
		{"terminal", "report.txt", plain},
		{"json", "report.json", JSON},
		{"junit", "junit.xml", JUnit},
		{"ktap", "report.ktap", KTAP},
		{"html", "report.html", func(w io.Writer, o *verdict.Outcome) error { return HTMLWithMatrix(w, o, m) }},
	}
}

// plain is the terminal report for a file.
func plain(w io.Writer, o *verdict.Outcome) error { return Terminal(w, o, TerminalOptions{}) }

// JournalFile is the name of the journal beside the reports.
const JournalFile = "results.jsonl"

// WriteAll writes every form of report into a directory. Each file appears whole or not at all.
func WriteAll(dir string, o *verdict.Outcome) error { return WriteFormats(dir, o, Formats()) }

// WriteFormats is WriteAll for some forms.
func WriteFormats(dir string, o *verdict.Outcome, formats []Format) error {
	for _, format := range formats {
		if err := writeFile(filepath.Join(dir, format.File), func(w io.Writer) error { return format.Write(w, o) }); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".report-*")
	if err != nil {
		return fmt.Errorf("write report %s: %w", name, err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := write(file); err != nil {
		return fmt.Errorf("write report %s: %w", name, err)
	}
	if err := file.Chmod(0o644); err != nil {
		return fmt.Errorf("write report %s: %w", name, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write report %s: %w", name, err)
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
