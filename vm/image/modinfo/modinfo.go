// SPDX-License-Identifier: Apache-2.0

// Package modinfo reads what a kernel module says about itself: the key=value strings of its .modinfo section.
package modinfo

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Info is the strings of a module, key=value, in the order of the file.
type Info []string

// Parse reads the module in content, an ELF object that is not compressed.
func Parse(content []byte) (Info, error) {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("not an ELF object: %w", err)
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section: not a kernel module")
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf(".modinfo section: %w", err)
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == 0 }), nil
}

// Depends are the modules that must be loaded before this one, with underscores.
func (i Info) Depends() []string {
	var names []string
	for _, value := range i.values("depends") {
		names = append(names, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
	}
	return spelled(names)
}

// Softdeps are the modules that it asks to be loaded before or after it, if they are there.
func (i Info) Softdeps() []string {
	var names []string
	for _, value := range i.values("softdep") {
		names = append(names, slices.DeleteFunc(strings.Fields(value), func(word string) bool {
			return strings.HasSuffix(word, ":")
		})...)
	}
	return spelled(names)
}

// Vermagic is the kernel that the module was built for: its release, and the options that must be the same. "" if it does not say.
func (i Info) Vermagic() string {
	for _, value := range i.values("vermagic") {
		return strings.TrimSpace(value)
	}
	return ""
}

func (i Info) values(key string) []string {
	var values []string
	for _, entry := range i {
		if field, value, ok := strings.Cut(entry, "="); ok && field == key {
			values = append(values, value)
		}
	}
	return values
}

// Name is the name of the module in a file, as the kernel spells it: with underscores.
func Name(file string) string {
	base := path.Base(file)
	if end := strings.LastIndex(base, ".ko"); end > 0 {
		base = base[:end]
	}
	return strings.ReplaceAll(base, "-", "_")
}

func spelled(names []string) []string {
	for i, name := range names {
		names[i] = Name(name)
	}
	return names
}
